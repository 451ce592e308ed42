"""Boxes that some method predicted, from a CSV file, and their score as masks (section 4.1)."""

import contextlib
import csv
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from objseg.data.images import ImageError, write_png
from objseg.errors import UserError
from objseg.methods.grabcut import grabcut
from objseg.metrics import areas
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_mask

CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("image", "region", "expression", *CORNERS)
"""Columns that a file of predictions has; others may stand beside them, in any order."""

NOTHING = (-1, -1, -1, -1)
"""The box of a prediction without a pixel."""


class PredictionError(UserError):
    """Predictions that cannot be used; the message names the file and the line."""


class Prediction(NamedTuple):
    """A row of the file: ids of image and region, expression, box (xmin, ymin, xmax, ymax)."""

    image: str
    region: str
    expression: str
    box: tuple


def read_predictions(path, dataset, method=None):
    """Read the Predictions of a CSV file for images and regions of a Dataset: a list.

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
    order of the predictions image by image. ``tally`` counts what GrabCut could not do, once for
    every different box, ``unreadable`` maps an image's id to a message.
    """

    boxes: list = field(default_factory=list)
    grabcut: list = field(default_factory=list)
    tally: Counter = field(default_factory=Counter)
    unreadable: dict = field(default_factory=dict)


def score(dataset, predictions, progress, workers=1, iterations=5, masks=None):
    """Score ``predictions`` as rectangles and, after GrabCut in them, as masks; returns Scores.

    ``progress`` is a :class:`objseg.files.Progress` over the predictions. The scores are the same
    for any number of ``workers``. Into the folder ``masks``, if any, go the GrabCut masks, 0 or
    255, as <region>_<n>.png for prediction n = 0, 1 ... of a region.
    """
    groups = {}
    for prediction in predictions:
        groups.setdefault(prediction.image, []).append(prediction)
    scorer = ImageScorer(dataset, list(groups.values()), iterations, masks)
    scores = Scores()
    workers = max(1, min(workers, len(groups)))
    with contextlib.closing(Prefetcher(scorer, workers, count=len(groups))) as results:
        for group, result in zip(groups.values(), results):
            if isinstance(result, str):
                scores.unreadable[group[0].image] = result
                progress.write(f"skipped: {result}")
            else:
                boxes, cut, tally = result
                scores.boxes += boxes
                scores.grabcut += cut
                scores.tally += tally
            progress.advance(len(group))
    return scores


class ImageScorer:
    """Scores the predictions of image number n; runs in a background process."""

    def __init__(self, dataset, groups, iterations, folder):
        self.dataset, self.groups = dataset, groups
        self.iterations, self.folder = iterations, folder
        self.images = {image.id: image for image in dataset.all_images()}

    def __call__(self, number):
        """Return areas of the rectangles, of the GrabCut masks, and a Counter; or a message."""
        group = self.groups[number]
        name = group[0].image
        try:
            pixels, truth = self.dataset.pixels_and_masks(self.images[name])
        except ImageError as error:
            return str(error)
        boxes, cut, tally, known, seen = [], [], Counter(), {}, Counter()
        for prediction in group:
            rectangle = box_mask(prediction.box, *pixels.shape[:2])
            if prediction.box not in known:
                known[prediction.box] = (
                    rectangle if prediction.box == NOTHING
                    else grabcut(pixels, prediction.box, self.iterations, tally)
                )
            mask, region = known[prediction.box], prediction.region
            boxes.append(areas(rectangle, truth[region]))
            cut.append(areas(mask, truth[region]))
            if self.folder:
                write_png(self.folder / f"{region}_{seen[region]}.png", np.uint8(mask) * 255)
                seen[region] += 1
        return boxes, cut, tally
