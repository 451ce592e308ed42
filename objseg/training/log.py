"""The record of a training run: a CSV line an iteration, and the loss curve as a picture."""

import csv
import os
import resource
from pathlib import Path

import numpy as np

from objseg.files import atomic_path

COLUMNS = ("iteration", "loss", "rate", "seconds", "data_seconds", "val_overall_iou")
"""``seconds`` of the whole iteration, of which ``data_seconds`` were spent in the data layer."""


class TrainingLog:
    """Appends to a CSV file of ``COLUMNS``.

    A run resumed at iteration ``start`` keeps the lines up to it; a new run (0) starts afresh.
    """

    def __init__(self, path, start=0):
        self.path = Path(path)
        rows = [row for row in self.read() if int(row["iteration"]) <= start]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def read(self):
        """Return the lines so far as dicts of strings; a torn last line is left out."""
        if not self.path.is_file():
            return []
        with open(self.path, newline="") as stream:
            return [row for row in csv.DictReader(stream) if row["val_overall_iou"] is not None]

    def add(self, **row):
        """Append a line with a value for each of ``COLUMNS``."""
        with open(self.path, "a", newline="") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(row)

    def sync(self):
        """Return when the lines are on the disk."""
        with open(self.path) as stream:
            os.fsync(stream.fileno())

    def summary(self):
        """Cost of the iterations so far: seconds, the data layer's share, peak memory; a line.

        The first iteration is left out where there are more: it allocates the net's blobs.
        """
        rows = self.read()
        rows = rows[1:] or rows
        seconds = np.mean([float(row["seconds"]) for row in rows])
        data = np.mean([float(row["data_seconds"]) for row in rows])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return (
            f"{len(rows)} iterations: {seconds:.3f} s each, {100 * data / seconds:.2f} % of it in "
            f"the data layer; peak memory {memory:.2f} GiB"
        )

    def draw(self):
        """Draw loss and validation IoU over the iterations beside the log; returns the PNG's path.

        Returns None when there is no line yet.
        """
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        rows = self.read()
        if not rows:
            return None
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
