"""Write the nets and solvers of every model as prototxt.

    python tools/generate_prototxt.py --size paper --out prototxt
    python tools/generate_prototxt.py --size photo --out prototxt/photo
    python tools/generate_prototxt.py --size slim --out prototxt/slim

The committed prototxt/ is exactly what these three commands write. Paths are written as given;
Caffe takes them from the folder it is started in.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser
from common.switches import add_switches, chosen_settings, chosen_size

from models.prototxt import HEADER, generate
from models.registry import MODELS
from models.vgg16 import crops_net
from objseg.caffe.prototxt import prototxt
from objseg.files import write_text


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder of the prototxt files")
    parser.add_argument("--data", metavar="DIR", help="prepared data set (default: the size's)")
    parser.add_argument("--snapshots", metavar="DIR",
                        help="folder of the weights that training writes (default: the size's)")
    add_switches(parser)
    return parser.parse_args()


def main():
    """Write every model."""
    options = parse()
    size = chosen_size(options)
    snapshots = options.snapshots or size.snapshots
    data = options.data or size.data
    write_text(options.out / "deploy_crops.prototxt", HEADER + prototxt(crops_net(size)))
    for name, model in MODELS.items():
        start = size.recipes[name].start
        if model.start_model:
            last = options.iterations or size.recipes[model.start_model].iterations
            start = f"{snapshots}/{model.start_model}_iter_{last}.caffemodel"
        generate(size, chosen_settings(
            options, size, name,
            data=data,
            prototxt=str(options.out),
            snapshots=snapshots,
            start=start,
            features=f"{data}/features/{size.name}",
            proposals=f"{data}/proposals",
            convnet=f"{data}/convnet/{size.name}",
            mode=size.mode,
        ), options.out)


if __name__ == "__main__":
    environment.run(main)
