"""Write a trained net as one ONNX file, which runs without Caffe.

    python tools/export_onnx.py --out photo.onnx
    python tools/export_onnx.py --size slim --weights out/demo --out demo.onnx --type float16
    python tools/segment.py photo.jpg "sky" --onnx photo.onnx

The file holds the net, its vocabulary and how to prepare a picture; docs/onnx.md describes it.
objseg.methods.onnx_segmenter.OnnxSegmenter reads it.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, add_trained_model

from models.sizes import SIZES
from objseg.export.graph import TYPES
from objseg.export.model import save_model
from objseg.files import REPOSITORY
from objseg.methods.configuration import configure


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_trained_model(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="the ONNX file; an older one is replaced")
    parser.add_argument("--type", choices=TYPES, default="float32",
                        help="what the weights are stored as; the net computes in float32")
    return parser.parse_args()


def main():
    """Write the file."""
    options = parse()
    size = SIZES[options.size]
    chosen = configure(options.method, size, REPOSITORY / size.data, options.weights)
    save_model(chosen.deploy, chosen.weights, chosen.vocabulary, options.out, options.type)
    megabytes = options.out.stat().st_size / 1e6
    print(f"{options.out}: {megabytes:.1f} MB, from {chosen.weights}")


if __name__ == "__main__":
    environment.run(main)
