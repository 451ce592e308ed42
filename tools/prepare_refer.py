"""Turn RefCOCO, RefCOCO+, RefCOCOg or RefClef into the prepared data set that all tools read.

    python tools/prepare_refer.py --data refer/data --dataset refcoco+ --split-by unc
    python tools/eval_referit.py --data data/refcoco+_unc --split testA

The folder --data is as the refer toolbox (https://github.com/lichengunc/refer) has it:
DATASET/refs(SPLIT_BY).p and DATASET/instances.json, and in images/mscoco/images/train2014 the
pictures of COCO's train2014 (for refclef in images/saiapr_tc-12).

Prints the numbers of refs, images and expressions beside the published ones. refcoco+ and refcoco
by unc have the splits testA and testB; the split test is both. Run it again after an interruption,
or when raw files have changed: it makes anew what is of other content, and keeps the rest.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser
from common.preparation import add_preparation, prepare_and_print

from objseg.data.refer import DATASETS, Refer
from objseg.data.refer_counts import describe_counts
from objseg.files import REPOSITORY


def main():
    """Parse the command line, compare the counts, prepare, print what there is."""
    parser = Parser(__doc__)
    parser.add_argument("--data", "--raw", type=Path, required=True, metavar="DIR", dest="raw",
                        help="folder data of the refer toolbox")
    parser.add_argument("--dataset", choices=DATASETS, required=True, help="which data set")
    parser.add_argument("--split-by", choices=("unc", "google", "umd", "berkeley"), required=True,
                        help="who made the splits: unc for refcoco, refcoco+ and refclef; google "
                        "for refcoco and refcocog; umd for refcocog; berkeley for refclef")
    parser.add_argument("--images", type=Path, metavar="DIR",
                        help="folder of the pictures (default: the toolbox's, see above)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="prepared data set, made or brought up to date (default: "
                        "data/DATASET_SPLIT_BY)")
    add_preparation(parser)
    options = parser.parse_args()

    layout = Refer(options.raw, options.dataset, options.split_by, options.images)
    print(*describe_counts(layout.benchmark, layout.counts), sep="\n", flush=True)
    options.out = options.out or REPOSITORY / f"data/{options.dataset}_{options.split_by}"
    prepare_and_print(layout, options)


if __name__ == "__main__":
    environment.run(main)
