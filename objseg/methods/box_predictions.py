"""Boxes that some method predicted, from a CSV file, and their score as masks (section 4.1)."""

import contextlib
import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset
from objseg.data.images import ImageError, write_png
from objseg.errors import UserError
from objseg.files import Progress
from objseg.methods.grabcut import grabcut
from objseg.metrics import areas
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_mask

CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("image", "region", "expression", *CORNERS)
"""Columns that a file of predictions must have, in any order; it may have more."""

NOTHING = (-1, -1, -1, -1)
"""The box of a prediction without a pixel."""


class PredictionError(UserError):
    """Predictions that cannot be used; the message names the file and the line."""


class Prediction(NamedTuple):
    """A row of the file: ids of image and region, expression, box (xmin, ymin, xmax, ymax)."""

    image: str
    region: str
    expression: str
    box: tuple[int, int, int, int]


def read_predictions(
    path: Path, dataset: Dataset, method: str | None = None
) -> list[Prediction]:
    """Read the predictions of a CSV file for images and regions of a data set.

    The first line names the columns, see ``COLUMNS``. Boxes are inclusive pixels from 0;
    ``NOTHING`` is an empty prediction. Where there is a column ``method``, as in an evaluation's
    samples.csv, only rows of ``method`` are read, which may be left out when there is one only.

    Raises PredictionError with the number of the line for a row that is wrong.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                raise PredictionError(
                    f"{path}: no column {', '.join(missing)}; the first line must name the columns "
                    f"{', '.join(COLUMNS)}, and names {', '.join(columns) or 'nothing'}"
                )
            numbered = [(rows.line_num, row) for row in rows]
    except FileNotFoundError:
        raise PredictionError(
            f"{path} does not exist: the predicted boxes; tools/eval_referit.py --method NAME "
            "writes such a file, samples.csv"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise PredictionError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if "method" in columns:
        numbered = _of_method(path, numbered, method)
    elif method is not None:
        raise PredictionError(f"{path}: no column method, so leave out the method {method}")
    if not numbered:
        raise PredictionError(f"{path}: holds no prediction")
    regions = {
        image.id: {region.id for region in image.regions}
        for image in dataset.all_images()
    }
    return [
        _prediction(row, regions, f"{path}, line {line}", dataset) for line, row in numbered
    ]


def _of_method(path, numbered, method):
    there = sorted({row["method"] or "" for _, row in numbered})
    if method is None and len(there) > 1:
        raise PredictionError(f"{path}: choose one of the methods {', '.join(there)}")
    chosen = [(line, row) for line, row in numbered if method in (None, row["method"])]
    if there and not chosen:
        raise PredictionError(f"{path}: no method {method}; there are {', '.join(there)}")
    return chosen


def _prediction(row, regions, where, dataset):
    if None in row or None in row.values():
        raise PredictionError(f"{where}: another number of columns than in the first line")
    try:
        box = tuple(int(row[name]) for name in CORNERS)
    except ValueError:
        found = ", ".join(row[name] for name in CORNERS)
        raise PredictionError(f"{where}: the box {found} is not four whole numbers") from None
    if box != NOTHING and (box[0] > box[2] or box[1] > box[3]):
        raise PredictionError(
            f"{where}: the box {', '.join(map(str, box))}, expected xmin <= xmax and ymin <= ymax "
            "(four times -1 for nothing)"
        )
    for name, known in ("image", regions), ("region", regions.get(row["image"], ())):
        if row[name] not in known:
            of = f" of the image {row['image']}" if name == "region" else ""
            raise PredictionError(
                f"{where}: no {name} {row[name]!r}{of} in the data set {dataset.directory}"
            )
    return Prediction(row["image"], row["region"], row["expression"], box)


@dataclass
class Scores:
    """Areas of N predictions of readable images: lists of (intersection, union) in pixels.

    ``boxes`` has those of the whole rectangles, ``grabcut`` those of the foreground in them, in the
    order of the predictions image by image. ``tally`` counts what GrabCut could not do, once per
    different box, ``unreadable`` maps an image's id to a message.
    """

    boxes: list[tuple[int, int]] = field(default_factory=list)
    grabcut: list[tuple[int, int]] = field(default_factory=list)
    tally: Counter = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)


def score(
    dataset: Dataset, predictions: list[Prediction], progress: Progress, workers: int = 1,
    iterations: int = 5, masks: Path | None = None,
) -> Scores:
    """Score ``predictions`` as rectangles and, after GrabCut in them, as masks.

    ``progress`` counts the predictions. The scores are the same for any number of ``workers``. The
    GrabCut masks, 0 or 255, are written to the folder ``masks``, if any, as <region>_<n>.png for
    prediction n = 0, 1 ... of a region.
    """
    groups = {}
    for prediction in predictions:
        groups.setdefault(prediction.image, []).append(prediction)
    scorer = ImageScorer(dataset, list(groups.values()), iterations, masks)
    scores = Scores()
    workers = max(1, min(workers, len(groups)))
    with contextlib.closing(Prefetcher(scorer, workers, count=len(groups))) as results:
        for group, found in zip(groups.values(), results):
            scores.boxes += found.boxes
            scores.grabcut += found.grabcut
            scores.tally += found.tally
            scores.unreadable |= found.unreadable
            for message in found.unreadable.values():
                progress.write(f"skipped: {message}")
            progress.advance(len(group))
    return scores


class ImageScorer:
    """Scores the predictions of image number n; runs in a background process."""

    def __init__(self, dataset, groups, iterations, folder):
        self.dataset, self.groups = dataset, groups
        self.iterations, self.folder = iterations, folder
        self.images = {image.id: image for image in dataset.all_images()}

    def __call__(self, number: int) -> Scores:
        """Score an image's predictions, and write their masks."""
        group = self.groups[number]
        try:
            pixels, truth = self.dataset.pixels_and_masks(self.images[group[0].image])
        except ImageError as error:
            return Scores(unreadable={group[0].image: str(error)})
        cut = {box: self._cut(pixels, box) for box in {prediction.box for prediction in group}}
        scores, seen = Scores(tally=Counter(note for _, note in cut.values() if note)), Counter()
        for _, region, _, box in group:
            mask, _ = cut[box]
            scores.boxes.append(areas(box_mask(box, *pixels.shape[:2]), truth[region]))
            scores.grabcut.append(areas(mask, truth[region]))
            if self.folder:
                write_png(self.folder / f"{region}_{seen[region]}.png", np.uint8(mask) * 255)
                seen[region] += 1
        return scores

    def _cut(self, pixels, box):
        if box == NOTHING:
            return box_mask(box, *pixels.shape[:2]), None
        return grabcut(pixels, box, self.iterations)
