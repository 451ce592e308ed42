"""Turn ReferIt, as it lies on disk, into the prepared data set that training and evaluation read.

python tools/prepare_referit.py                        data/raw/referit -> data/referit
python tools/prepare_referit.py --raw DIR --out DIR    any data in ReferIt's layout

DIR holds images/<id>.jpg, mask/<id>_<number>.mat, RealGames.txt or the authors' referit_*.json, and
the split lists referit_{train,val,test}_imlist.txt. Run it again after an interruption: it
continues.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import REFERIT, Parser, add_workers, positive

from objseg.data.expressions import Vocabulary
from objseg.files import REPOSITORY
from objseg.data.prepare import prepare, summary_text


def main():
    """Parse the command line, prepare, print the counts."""
    parser = Parser(__doc__)
    parser.add_argument("--raw", type=Path, default=REPOSITORY / "data/raw/referit", metavar="DIR",
                        help="raw data set (default: data/raw/referit)")
    parser.add_argument("--out", type=Path, default=REFERIT, metavar="DIR",
                        help="prepared data set (default: data/referit)")
    parser.add_argument("--vocabulary", type=Path, metavar="FILE",
                        help="use this vocabulary instead of one from the trainval expressions")
    parser.add_argument("--min-count", type=positive, default=2, metavar="N",
                        help="times a word must occur in trainval to get a row (default: 2)")
    parser.add_argument("--annotations-only", action="store_true",
                        help="no images and masks: sizes and boxes from the authors' JSON files")
    add_workers(parser)
    options = parser.parse_args()

    vocabulary = Vocabulary.load(options.vocabulary) if options.vocabulary else None
    index = prepare(options.raw, options.out, vocabulary, options.min_count,
                    options.annotations_only, options.workers)
    print(summary_text(index), end="")
    print(f"prepared: {options.out}")


if __name__ == "__main__":
    environment.run(main)
