"""The measured values: results.json, and samples.csv with a line per sample."""

import csv
import json
import platform
from pathlib import Path

import cv2
import numpy as np

from objseg.evaluation.evaluate import Evaluation, Request
from objseg.evaluation.report.published import published
from objseg.files import atomic_path, write_text
from objseg.metrics import NAMES, bootstrap, summarize
from objseg.training.snapshot import origin

HEADINGS = {
    name: name.replace("precision", "prec").replace("_iou", " IoU") for name in NAMES
}
"""Metrics as Table 1 writes them, by name."""

EXPLANATIONS = {
    "IoU": "area of the intersection of mask and region over the area of their union",
    "prec@X": "share of the samples whose IoU is at least X",
    "overall IoU": "all intersections' area over all unions' area: large regions weigh more",
    "mean IoU": "mean of the samples' IoU: every sample weighs the same",
}
"""The terms of Table 1, a line each."""


def results(
    request: Request, evaluations: list[Evaluation], unavailable: dict[str, str], command: str
) -> dict:
    """Collect everything that was measured as plain values; fractions are in [0, 1].

    ``unavailable`` is {title of a method that could not be evaluated: why}, ``command`` the command
    line. The papers' figures, in percent, are there only for what they measured. Of a joined data
    set the results on each source stand under "sources", in the same form.
    """
    scored = dict.fromkeys(sample.image.source for sample in evaluations[0].samples)
    sources = scored if len(request.dataset.sources) > 1 else ()
    return {
        "data": request.dataset.name,
        "directory": str(request.dataset.directory),
        "split": request.split,
        "size": request.size,
        "limit": request.limit,
        "notes": list(request.dataset.about.notes),
        "unavailable": unavailable,
        **_scores(evaluations, request.is_papers),
        "published": [row._asdict() for row in published(request)],
        "sources": [
            {"data": name, "published": [],
             **_scores([evaluation.of_source(name) for evaluation in evaluations], False)}
            for name in sources
        ],
        "command": command,
        "versions": versions(),
    }


def _scores(evaluations, is_papers):
    """Return the entries of :func:`results` about the scores of methods on the same samples."""
    return {
        "samples": len(evaluations[0].samples),
        "methods": [_measured(evaluation, is_papers) for evaluation in evaluations],
    }


def _measured(evaluation, is_papers):
    """Return the entry of one Evaluation in :func:`results`."""
    areas, samples = (evaluation.intersections, evaluation.unions), evaluation.samples
    method, weights = evaluation.method, evaluation.weights
    return {
        "method": method.name,
        "title": method.title,
        "metrics": summarize(*areas),
        "intervals": bootstrap(*areas, [s.image.id for s in samples]),
        "tally": dict(evaluation.tally),
        "paper": list(method.paper) if is_papers else None,
        "weights": str(weights) if weights else None,
        "trained on": weights and origin(weights).get("images"),
        "identity": evaluation.identity,
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes the numbers, by name."""
    import caffe  # the rest of the report needs no Caffe

    return {
        "python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__,
        "caffe": caffe.__version__,
    }


def write_results(out: Path, outcome: dict, evaluations: list[Evaluation]) -> None:
    """Write results.json, what :func:`results` returns, and samples.csv into the folder ``out``."""
    write_text(out / "results.json", json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    with (
        atomic_path(out / "samples.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(
            ["method", "image", "region", "sample", "expression", "intersection", "union", "iou",
             "xmin", "ymin", "xmax", "ymax"]
        )
        for evaluation in evaluations:
            writer.writerows(
                (
                    evaluation.method.name, sample.image.id, sample.region.id, sample.id,
                    sample.expression, intersection, union, f"{iou:.6f}", *box,
                )
                for sample, intersection, union, iou, box in zip(
                    evaluation.samples, evaluation.intersections, evaluation.unions,
                    evaluation.ious, evaluation.boxes,
                )
            )
