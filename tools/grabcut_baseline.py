"""Turn predicted boxes into masks with GrabCut and score both: Table 1's bbox and grabcut rows.

    python tools/grabcut_baseline.py boxes.csv --data data/referit
    python tools/grabcut_baseline.py out/eval_referit_test/samples.csv --method scrc-bbox

The CSV file has a first line with at least the columns image, region, xmin, ymin, xmax, ymax: ids
of the prepared data set and a box in inclusive pixels from 0 (-1 four times: nothing). The
samples.csv of tools/eval_referit.py is such a file. Prints the table and writes grabcut.json beside
the CSV file, with --masks the masks too. Where GrabCut cannot start or finds no foreground, the
whole rectangle is the mask.
"""

from common import environment

environment.enter()

import json
from pathlib import Path

from common.arguments import REFERIT, Parser, add_data, add_workers

from objseg.data.dataset import Dataset
from objseg.evaluation.box_predictions import read_predictions, score
from objseg.evaluation.report.results import HEADINGS
from objseg.files import sha256, write_text
from objseg.metrics import NAMES, summarize


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("boxes", type=Path, metavar="CSV", help="predicted boxes")
    parser.add_argument("--method", metavar="NAME",
                        help="only the boxes of this method, where the file has a column "
                        "method (default: all)")
    add_data(parser, REFERIT)
    parser.add_argument("--masks", type=Path, metavar="DIR",
                        help="write masks as DIR/<region>_<n>.png, n = 0, 1 ... of a "
                        "region's rows (default: none)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="result (default: grabcut.json beside the CSV file, "
                        "grabcut_METHOD.json with --method)")
    add_workers(parser)
    return parser.parse_args()


def main():
    """Read the boxes, cut, score, print."""
    options = parse()
    path, dataset = options.boxes, Dataset(options.data)
    predictions = read_predictions(path, dataset, options.method)
    areas, notes = score(dataset, predictions, options.workers, options.masks)
    rows = {row: summarize(*zip(*found)) for row, found in areas.items()}
    counts = {"predictions": len(predictions), **notes}
    print(f"{'':8}" + "".join(f"{column:>13}" for column in HEADINGS.values()))
    for row, metrics in rows.items():
        print(f"{row:8}" + "".join(f"{100 * metrics[name]:12.2f}%" for name in NAMES))
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    stem = "_".join(filter(None, ["grabcut", options.method]))
    out = options.out or path.parent / f"{stem}.json"
    write_text(out, json.dumps({
        "boxes": str(path), "sha256": sha256(path), "method": options.method,
        "data": dataset.name, "counts": counts, "metrics": rows,
    }, indent=1) + "\n")
    print(f"written: {out}")


if __name__ == "__main__":
    environment.run(main)
