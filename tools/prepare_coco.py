r"""Turn own annotations in COCO's instance format into the prepared data set that all tools read.

    python tools/prepare_coco.py --raw instances.json --images DIR --expressions texts.csv \
        --out data/mine
    python tools/reproduce.py --data data/mine --size slim -- --train-convnet

CVAT, labelme2coco and others write such a file: images, and annotations with polygons or run
lengths. texts.csv has a line per expression under a first line `annotation,expression`: an
annotation's id, and what a person would say. --splits names a folder of lists train.txt, val.txt
and test.txt, a line per image (its id or file_name); otherwise the described images are divided at
random. An about.json beside the instances file tells facts, see tools/prepare_referit.py.

Run it again after an interruption, or when files have changed.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, not_negative
from common.preparation import add_preparation, prepare_and_print

from objseg.data.described_coco import FRACTIONS, DescribedCoco


def main():
    """Parse the command line, prepare, print the counts."""
    parser = Parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, metavar="FILE",
                        help="instances file, JSON")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR",
                        help="folder that the file_name of the images is in")
    parser.add_argument("--expressions", type=Path, required=True, metavar="FILE",
                        help="CSV file with the columns annotation and expression")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="prepared data set, made or brought up to date")
    division = parser.add_mutually_exclusive_group()
    division.add_argument("--splits", type=Path, metavar="DIR",
                          help="folder of train.txt, val.txt, test.txt (default: at random)")
    division.add_argument("--fractions", type=float, nargs=3, default=FRACTIONS,
                          metavar=("TRAIN", "VAL", "TEST"),
                          help="shares of the images (default: 0.8 0.1 0.1)")
    parser.add_argument("--seed", type=not_negative, default=1, metavar="N",
                        help="of the division by --fractions")
    add_preparation(parser)
    options = parser.parse_args()

    layout = DescribedCoco(options.raw, options.images, options.expressions, options.splits,
                           tuple(options.fractions), options.seed)
    prepare_and_print(layout, options)


if __name__ == "__main__":
    environment.run(main)
