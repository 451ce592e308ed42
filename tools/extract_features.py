"""Compute the features of the proposed boxes, which SCRC and GroundeR are trained and scored on.

    python tools/extract_features.py
    python tools/extract_features.py --size slim --data data/demo

A second run makes only what is missing or what other proposals, regions or weights have outdated.
"""

from common import environment

environment.enter(blas_threads=1)  # processes use the cores better than threads do

from pathlib import Path

from common.arguments import (
    Parser, add_data, add_device, add_net_workers, add_size, net_workers,
)

from models.sizes import SIZES
from objseg.data.dataset import Dataset
from objseg.regions.extraction import extract
from objseg.files import REPOSITORY
from objseg.methods.configuration import committed_net, require_trunk


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_size(parser)
    add_data(parser)
    parser.add_argument("--proposals", type=Path, metavar="DIR",
                        help="folder of the proposals (default: DATA/proposals)")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="weights of the trunk (default: those that the size's models start "
                        "from)")
    parser.add_argument("--prototxt", type=Path, metavar="DIR",
                        help="folder of deploy_crops.prototxt (default: the size's)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of the features (default: DATA/features/SIZE)")
    add_net_workers(parser)
    add_device(parser)
    return parser.parse_args()


def main():
    """Make the features and say how many."""
    options = parse()
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    weights = options.weights or REPOSITORY / size.pretrained
    require_trunk(weights, size)
    deploy = committed_net("crops", size, options.prototxt)
    out = options.out or dataset.directory / "features" / size.name
    made, kept = extract(
        dataset, options.proposals or dataset.directory / "proposals", deploy, weights, out,
        options.gpu, net_workers(options),
    )
    print(f"{out}: features of {made} images made, {kept} were up to date")


if __name__ == "__main__":
    environment.run(main)
