"""The measured values: results.json, and samples.csv with a line per sample."""

import csv
import importlib
import json
import platform

from objseg.data.expressions import tokenize
from objseg.files import atomic_path, write_text
from objseg.metrics import NAMES, bootstrap, by_length, summarize
from objseg.regions.boxes import box_accuracy

HEADINGS = {
    name: name.replace("precision", "prec").replace("_iou", " IoU") for name in NAMES
}
"""Metrics as Table 1 writes them, by name."""

PAPER_BOX_ACCURACY = {"scrc-bbox": 17.93, "grounder-bbox": 26.93}
"""Share of boxes with IoU >= 0.5 on the ReferIt test split in percent, from the methods' own papers
(SCRC: Hu et al., CVPR 2016; GroundeR, supervised: Rohrbach et al., ECCV 2016)."""


def results(dataset, split, evaluations, unreadable, command, limit=None):
    """Everything that was measured, as one dict of plain values; fractions are in [0, 1].

    ``evaluations`` is a list of :class:`objseg.evaluation.evaluate.Evaluation`, ``unreadable``
    {image id: message}, ``limit`` the number of samples asked for, None for all. The papers'
    figures, in percent, are there only for what they measured: the test split of ReferIt.
    """
    measured_by_paper = dataset.about.referit and split == "test" and not limit
    paper_boxes = PAPER_BOX_ACCURACY if measured_by_paper else {}
    methods = []
    for evaluation in evaluations:
        measured = evaluation.intersections, evaluation.unions
        method, configuration = evaluation.method, evaluation.configuration
        methods.append({
            "method": method.name,
            "title": method.title,
            "metrics": summarize(*measured),
            "box_accuracy": box_accuracy(
                evaluation.boxes, [sample.region.box for sample in evaluation.samples]
            ),
            "intervals": bootstrap(*measured, [s.image.id for s in evaluation.samples]),
            "by_length": dict(by_length(
                *measured, [len(tokenize(s.expression)) for s in evaluation.samples]
            )),
            "scored": len(evaluation.samples),
            "skipped": evaluation.skipped,
            "tally": dict(evaluation.tally),
            "paper": list(method.paper) if measured_by_paper else None,
            "paper_box_accuracy": paper_boxes.get(method.name),
            "weights": str(configuration.weights) if configuration.weights else None,
            "identity": evaluation.identity,
        })
    return {
        "data": dataset.name,
        "directory": str(dataset.directory),
        "split": split,
        "limit": limit,
        "notes": list(dataset.about.notes),
        "unreadable": dict(unreadable),
        "methods": methods,
        "command": command,
        "versions": versions(),
    }


def versions():
    """Versions of what computes the numbers, as {name: version}; "absent" where not installed."""
    found = {"python": platform.python_version()}
    for name, module in (("numpy", "numpy"), ("opencv", "cv2"), ("caffe", "caffe")):
        try:
            found[name] = importlib.import_module(module).__version__
        except ImportError:
            found[name] = "absent"
    return found


def write_results(out, outcome, evaluations):
    """Write results.json, what :func:`results` returns, and samples.csv into the folder ``out``."""
    write_text(out / "results.json", json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    with atomic_path(out / "samples.csv") as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["method", "image", "region", "expression", "intersection", "union", "iou",
                 "xmin", "ymin", "xmax", "ymax"]
            )
            for evaluation in evaluations:
                measured = zip(
                    evaluation.intersections, evaluation.unions, evaluation.ious, evaluation.boxes
                )
                writer.writerows(
                    (
                        evaluation.method.name, sample.image.id, sample.region.id,
                        sample.expression, intersection, union, f"{iou:.6f}", *box,
                    )
                    for sample, (intersection, union, iou, box) in zip(evaluation.samples, measured)
                )
