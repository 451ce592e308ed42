"""Turn ReferIt, as it lies on disk, into the prepared data set that training and evaluation read.

    python tools/prepare_referit.py                        data/raw/referit -> data/referit
    python tools/prepare_referit.py --raw DIR --out DIR    any data in ReferIt's layout

The raw folder holds images/<id>.jpg, mask/<id>_<number>.mat (a matrix segimg_t, 0 on the region) or
.png (black outside, white inside), RealGames.txt or the authors' referit_*.json, and the lists
split/referit_{train,val,test}_imlist.txt. An about.json there, such as
{"images": "photographs", "expressions": "program"}, tells facts that every report repeats: images
are "photographs" or "drawn", expressions those of "people" or of a "program".

Run it again after an interruption, or when raw files have changed: it makes anew what is of other
content, and keeps the rest.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import REFERIT, Parser
from common.preparation import add_preparation, prepare_and_print

from objseg.files import REPOSITORY


def main():
    """Parse the command line, prepare, print the counts."""
    parser = Parser(__doc__)
    parser.add_argument("--raw", type=Path, default=REPOSITORY / "data/raw/referit", metavar="DIR",
                        help="raw data set")
    parser.add_argument("--out", type=Path, default=REFERIT, metavar="DIR",
                        help="prepared data set, made or brought up to date")
    add_preparation(parser)
    parser.add_argument("--annotations-only", action="store_true",
                        help="no images and masks: sizes and boxes from the authors' JSON files")
    options = parser.parse_args()

    prepare_and_print(options.raw, options, options.annotations_only)


if __name__ == "__main__":
    environment.run(main)
