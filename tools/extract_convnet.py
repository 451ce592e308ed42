"""Compute what the held convolutions give of every picture, which training then reads from disk.

    python tools/extract_convnet.py --size photo --data data/photos
    python tools/extract_convnet.py --size paper --weights models/vgg16_start.caffemodel

Train on it with tools/train.py --cached-convnet, the default at size photo. A second run computes
only what is missing or what other pictures or weights have outdated.
"""

from common import environment

environment.enter(blas_threads=1)  # processes use the cores better than threads do

import tempfile
from pathlib import Path

from common.arguments import (
    Parser, add_data, add_device, add_net_workers, add_size, add_split, net_workers,
)

from models.sizes import SIZES
from models.vgg16 import convnet_net
from objseg.caffe.prototxt import prototxt
from objseg.convnet.extraction import TYPES, Convnet, extract
from objseg.data.dataset import Dataset
from objseg.files import REPOSITORY, write_text
from objseg.methods.configuration import require_trunk


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_size(parser)
    add_data(parser)
    add_split(parser, "all")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="weights of the convolutions (default: those that the size's models "
                        "start from)")
    parser.add_argument("--type", choices=TYPES, default="float16",
                        help="numbers on disk; float32 takes twice the room")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of the results (default: DATA/convnet/SIZE)")
    add_net_workers(parser)
    add_device(parser)
    return parser.parse_args()


def main():
    """Compute the maps and say how many."""
    options = parse()
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    weights = options.weights or REPOSITORY / size.pretrained
    require_trunk(weights, size)
    asked = dataset.all_images() if options.split == "all" else dataset.images(options.split)
    images = [image for image in asked if image.regions]
    mirrored = {image.id for image in dataset.images("train")}
    out = options.out or dataset.directory / "convnet" / size.name
    with tempfile.TemporaryDirectory() as folder:
        deploy = Path(folder) / "deploy_convnet.prototxt"
        write_text(deploy, prototxt(convnet_net(size)))
        made, kept = extract(
            dataset, images, mirrored, Convnet(deploy, weights, options.gpu, options.type), out,
            net_workers(options),
        )
    print(f"{out}: {made} pictures computed, {kept} were up to date")


if __name__ == "__main__":
    environment.run(main)
