"""Turn predicted boxes into masks with GrabCut and score both: Table 1's bbox and grabcut rows.

    python tools/grabcut_baseline.py boxes.csv --data data/referit
    python tools/grabcut_baseline.py --method scrc-bbox

The CSV file has a first line with at least the columns image, region, expression, xmin, ymin, xmax,
ymax: ids of the prepared data set and a box in inclusive pixels from 0 (-1 four times: nothing).
Prints the table and writes grabcut.json beside the CSV file, with --masks the masks too. Where
GrabCut cannot start or finds no foreground, the whole rectangle is the mask.
"""

from common import environment

environment.enter()

import json
from pathlib import Path

from common.arguments import REFERIT, Parser, add_data, add_workers, positive
from common.method_arguments import evaluation_folder

from objseg.errors import UserError
from objseg.methods.box_predictions import NOTHING, read_predictions, score
from objseg.data.dataset import Dataset
from objseg.files import Progress, sha256, write_text
from objseg.metrics import NAMES, summarize
from objseg.evaluation.report.results import HEADINGS


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("boxes", type=Path, nargs="?", metavar="CSV", help="predicted boxes")
    parser.add_argument("--method", metavar="NAME",
                        help="only the boxes of this method, where the file has a column "
                        "method (default: all)")
    parser.add_argument("--evaluation", type=Path, metavar="DIR",
                        help="folder that tools/eval_referit.py wrote, whose samples.csv is read "
                        "(default: the one that it writes for the test split of --data)")
    add_data(parser, REFERIT)
    parser.add_argument("--iterations", type=positive, default=5, metavar="N",
                        help="iterations of GrabCut (default: 5)")
    parser.add_argument("--limit", type=positive, metavar="N",
                        help="only the first N predictions (default: all)")
    parser.add_argument("--masks", type=Path, metavar="DIR",
                        help="write masks as DIR/<region>_<n>.png, n = 0, 1 ... of a "
                        "region's rows (default: none)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="result (default: grabcut.json beside the CSV file, "
                        "grabcut_METHOD.json with --method)")
    add_workers(parser)
    options = parser.parse_args()
    if options.boxes is None:
        options.boxes = (options.evaluation or evaluation_folder(options.data)) / "samples.csv"
    elif options.evaluation:
        parser.error("name a CSV file or an --evaluation folder, not both")
    return options


def main():
    """Read the boxes, cut, score, print."""
    options = parse()
    path, dataset = options.boxes, Dataset(options.data)
    predictions = read_predictions(path, dataset, options.method)[: options.limit]
    with Progress(len(predictions), "grabcut", "prediction") as progress:
        scores = score(
            dataset, predictions, progress, options.workers, options.iterations, options.masks
        )
    if not scores.boxes:
        raise UserError(f"{path}: no prediction of an image that can be read")
    rows = {
        "bbox": summarize(*zip(*scores.boxes)), "grabcut": summarize(*zip(*scores.grabcut)),
    }
    boxes = {(prediction.image, prediction.box) for prediction in predictions}
    counts = {
        "predictions": len(predictions),
        "scored": len(scores.boxes),
        "unreadable images": len(scores.unreadable),
        "empty predictions": sum(prediction.box == NOTHING for prediction in predictions),
        "different boxes": len(boxes),
        "degenerate boxes": scores.tally["degenerate box"],
        "empty results": scores.tally["empty result"],
    }
    print(f"{'':8}" + "".join(f"{column:>13}" for column in HEADINGS.values()))
    for row, metrics in rows.items():
        print(f"{row:8}" + "".join(f"{100 * metrics[name]:12.2f}%" for name in NAMES))
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    stem = "_".join(filter(None, ["grabcut", options.method]))
    out = options.out or path.parent / f"{stem}.json"
    write_text(out, json.dumps({
        "boxes": str(path), "sha256": sha256(path), "method": options.method,
        "data": dataset.name, "iterations": options.iterations, "counts": counts, "metrics": rows,
    }, indent=1) + "\n")
    print(f"written: {out}")


if __name__ == "__main__":
    environment.run(main)
