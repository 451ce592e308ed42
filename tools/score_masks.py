"""Score the masks of any method, PyTorch's or another, with the report of tools/eval_referit.py.

    python tools/score_masks.py --data data/refcoco_unc --split testA --list wanted.csv
    python tools/score_masks.py --data data/refcoco_unc --split testA --masks DIR --name "My net"

--list writes a line per sample: its id, picture, size, region and expression. For each of them the
folder --masks has a file ID.png of the picture's size, black outside and white inside, and no other
PNG file. Prints the table and writes results.json, samples.csv and report.html.
"""

from common import environment

environment.enter()

import re
import shlex
import sys
from pathlib import Path

from common.arguments import REFERIT, Parser, add_data, add_split, add_workers

from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.evaluation.evaluate import Request
from objseg.evaluation.given_masks import score, write_list
from objseg.evaluation.report.gallery import gallery
from objseg.evaluation.report.page import write_page
from objseg.evaluation.report.results import results, write_results
from objseg.evaluation.report.text import terminal
from objseg.files import REPOSITORY


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_data(parser, REFERIT)
    add_split(parser, "test")
    parser.add_argument("--masks", type=Path, metavar="DIR",
                        help="folder of the masks (default: none; needed without --list)")
    parser.add_argument("--list", type=Path, metavar="FILE",
                        help="write the samples as a CSV file and end (default: score)")
    parser.add_argument("--name", metavar="TITLE",
                        help="the method's name in the report (default: the name of the folder)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of the results (default: out/masks_DATA_SPLIT_NAME)")
    add_workers(parser)
    return parser.parse_args()


def main():
    """List the samples, or score the masks and write the report."""
    options = parse()
    request = Request(Dataset(options.data), options.split, size=None)
    if options.list:
        print(f"{options.list}: {write_list(options.list, request):,} samples")
        return
    if options.masks is None:
        raise UserError("name the folder of the masks: --masks DIR; or --list FILE writes which "
                        "masks are expected")
    title = options.name or options.masks.resolve().name
    evaluation = score(request, options.masks, title, options.workers)
    command = shlex.join(["python", "tools/score_masks.py", *sys.argv[1:]])
    outcome = results(request, [evaluation], {}, command)
    print(terminal(outcome))
    words = ("masks", request.dataset.name, options.split, re.sub(r"\W+", "-", title))
    out = options.out or REPOSITORY / "out" / "_".join(words)
    write_results(out, outcome, [evaluation])
    write_page(out, outcome, gallery(request.dataset, [[evaluation]]))
    print(f"\nreport: {out / 'report.html'}")


if __name__ == "__main__":
    environment.run(main)
