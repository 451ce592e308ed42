"""The record of a training run: a CSV line per iteration, and the loss curve as a picture."""

import csv
import logging
import os
from pathlib import Path

import numpy as np

from objseg.files import atomic_path

logger = logging.getLogger(__name__)

COLUMNS = ("iteration", "loss", "rate", "seconds", "data_seconds", "val_overall_iou")
"""``seconds`` of the whole iteration, of which ``data_seconds`` were spent in the data layer."""


class TrainingLog:
    """Appends to a CSV file of ``COLUMNS``.

    A run resumed at iteration ``start`` keeps the lines up to it; a new run (0) starts afresh.
    """

    def __init__(self, path: Path, start: int = 0):
        self.path = Path(path)
        rows = [row for row in self.read() if int(row["iteration"]) <= start]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def read(self) -> list[dict[str, str]]:
        """Return the lines so far; those that a crash tore or garbled are left out."""
        if not self.path.is_file():
            return []
        with open(self.path, newline="", errors="replace") as stream:
            return [row for row in csv.DictReader(stream)
                    if (row.get("iteration") or "").isdecimal()
                    and row.get("val_overall_iou") is not None]

    def add(self, **row):
        """Append a line with a value for each of ``COLUMNS``."""
        with open(self.path, "a", newline="") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(row)

    def sync(self):
        """Make sure that the lines are on the disk."""
        with open(self.path) as stream:
            os.fsync(stream.fileno())

    def conclude(self):
        """Draw the curve, if there is a line.

        Whatever fails here is logged and no more: the training has ended, its weights are saved.
        """
        try:
            if self.read():
                self.draw()
        except Exception:
            logger.warning("warning: the curve of %s could not be drawn", self.path, exc_info=True)

    def draw(self) -> Path:
        """Draw loss and validation IoU over the iterations as a PNG beside the log."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        rows = self.read()
        iterations = np.array([int(row["iteration"]) for row in rows])
        losses = np.array([float(row["loss"]) for row in rows])
        figure, axis = pyplot.subplots(figsize=(7, 4))
        axis.plot(iterations, losses, color="0.8", linewidth=0.8)
        width = max(1, len(losses) // 50)
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        axis.plot(iterations[width - 1:], smooth, color="tab:blue", label="loss")
        axis.set_xlabel("iteration")
        axis.set_ylabel("loss")
        validated = [(int(r["iteration"]), float(r["val_overall_iou"]))
                     for r in rows if r["val_overall_iou"]]
        if validated:
            right = axis.twinx()
            right.plot(*zip(*validated), "o-", color="tab:orange", markersize=3)
            right.set_ylim(0, 1)
            right.set_ylabel("overall IoU on val", color="tab:orange")
        figure.tight_layout()
        picture = self.path.with_suffix(".png")
        with atomic_path(picture) as temporary:
            figure.savefig(temporary, dpi=110)
        pyplot.close(figure)
        return picture
