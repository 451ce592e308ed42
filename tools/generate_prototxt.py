"""Write the nets and solvers of every model as prototxt.

    python tools/generate_prototxt.py --size paper --out prototxt
    python tools/generate_prototxt.py --size slim --out prototxt/slim

The committed prototxt/ is exactly what these two commands write. Paths are written as given;
Caffe takes them from the folder it is started in.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser

from models.prototxt import HEADER, generate
from models.registry import MODELS
from models.settings import add_switches, chosen_size, from_switches
from models.vgg16 import crops_net
from objseg.caffe.prototxt import prototxt
from objseg.files import write_text


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder of the prototxt files")
    parser.add_argument("--model", action="append", choices=MODELS,
                        help="only this one; repeatable (default: all)")
    parser.add_argument("--data", metavar="DIR", help="prepared data set (default: the size's)")
    parser.add_argument("--snapshots", metavar="DIR",
                        help="folder of the weights that training writes (default: the size's)")
    parser.add_argument("--trunk-weights", metavar="FILE",
                        help="where a model with a trunk starts (default: the size's)")
    parser.add_argument("--lowres-weights", metavar="FILE",
                        help="where stage 2 starts (default: the last of stage 1 in --snapshots)")
    parser.add_argument("--solver-mode", choices=("CPU", "GPU"), help="default: the size's")
    add_switches(parser)
    return parser.parse_args()


def main():
    """Write every model."""
    options = parse()
    size = chosen_size(options)
    snapshots = options.snapshots or size.snapshots
    data = options.data or size.data
    write_text(options.out / "deploy_crops.prototxt", HEADER + prototxt(crops_net(size)))
    for name in options.model or MODELS:
        start, before = size.recipes[name].start, MODELS[name].start_model
        if start and start == size.pretrained:
            start = options.trunk_weights or start
        elif before:
            last = options.iterations or size.recipes[before].iterations
            start = options.lowres_weights or f"{snapshots}/{before}_iter_{last}.caffemodel"
        generate(size, from_switches(
            options, size, name,
            data=data,
            prototxt=str(options.out),
            snapshots=snapshots,
            start=start,
            features=f"{data}/features/{size.name}",
            proposals=f"{data}/proposals",
            mode=options.solver_mode or size.mode,
        ), options.out)


if __name__ == "__main__":
    environment.run(main)
