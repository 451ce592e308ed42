"""Compute the features of the proposed boxes, which SCRC and GroundeR are trained and scored on.

    python tools/extract_features.py
    python tools/extract_features.py --size slim --data data/demo

A second run makes only what is missing or what other proposals, regions or weights have outdated.
"""

import os

# One BLAS thread a process, set before anything loads BLAS: processes use the cores better.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from common import environment

environment.enter()

import argparse
from pathlib import Path

from common.switches import add_data, add_device, choose_workers

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.data.dataset import SPLITS, Dataset
from objseg.regions.extraction import extract
from objseg.files import REPOSITORY
from objseg.methods.table1 import conventional_prototxt


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    parser.add_argument("--split", choices=[*SPLITS, "all"], default="all")
    parser.add_argument("--proposals", type=Path, metavar="DIR", help="default DATA/proposals")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help="the trunk's (default: those the size's models start from)")
    parser.add_argument("--prototxt", type=Path, metavar="DIR",
                        help="folder of deploy_crops.prototxt (default: the size's)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default DATA/features/SIZE")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes (default: a process a core, at most 4; 1 on a GPU)")
    add_device(parser)
    options = parser.parse_args()
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers is {options.workers}, must be at least 1")
    choose_workers(options)
    return options


def main():
    """Make the features and say how many."""
    options = parse()
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    weights = options.weights or REPOSITORY / size.pretrained
    deploy = (options.prototxt or conventional_prototxt(size)) / "deploy_crops.prototxt"
    for path, remedy in (
        (weights, size.recipes["lowres"].start_command),
        (deploy, f"tools/generate_prototxt.py --size {size.name} --out {deploy.parent}"),
    ):
        if not path.is_file():
            raise UserError(f"{path} does not exist; make it with: python {remedy}")
    asked = dataset.all_images() if options.split == "all" else dataset.images(options.split)
    images = [image for image in asked if image.regions]
    out = options.out or dataset.directory / "features" / size.name
    counts = extract(
        dataset, images, options.proposals or dataset.directory / "proposals", deploy, weights,
        out, options.workers, options.gpu,
    )
    print(
        f"{out}: features of {counts['made']} images made, {counts['kept']} were up to date, "
        f"{len(counts['unreadable'])} images are unreadable; {counts['whole_image']} have no "
        "proposed box but the whole image"
    )


if __name__ == "__main__":
    environment.run(main)
