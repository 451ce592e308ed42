"""Boxes that some method predicted, from a CSV file, and their score as masks (section 4.1)."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.data.images import write_png
from objseg.errors import UserError
from objseg.evaluation.evaluate import check_files
from objseg.files import Progress, read_table
from objseg.methods.best_box import foregrounds, rectangles
from objseg.metrics import areas
from objseg.parallel.prefetch import Prefetcher

CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("image", "region", *CORNERS)
"""Columns that a file of predictions must have, in any order; it may have more."""


class Prediction(NamedTuple):
    """A row of the file: an image, the id of its region, a box (xmin, ymin, xmax, ymax)."""

    image: Image
    region: str
    box: tuple[int, int, int, int]


def read_predictions(path: Path, dataset: Dataset, method: str | None = None) -> list[Prediction]:
    """Read the predictions of a CSV file for images and regions of a data set.

    The first line names the columns, see ``COLUMNS``. Boxes are inclusive pixels from 0; four times
    -1 is an empty prediction. Where there is a column ``method``, as in an evaluation's
    samples.csv, only rows of ``method`` are read, which may be left out when there is one only.

    Raises UserError with the number of the line for a row that is wrong.
    """
    rows = read_table(path, COLUMNS, "the predicted boxes; tools/eval_referit.py --method NAME "
                                     "writes such a file, samples.csv")
    methods = sorted({row.get("method") or "" for _, row in rows})
    if method not in methods and (method or methods[1:]):
        raise UserError(f"{path}: choose one of the methods {', '.join(methods)}")
    images = {image.id: image for image in dataset.all_images()}
    return [
        _prediction(row, images, f"{path}, line {line}", dataset)
        for line, row in rows if method in (None, row.get("method"))
    ]


def _prediction(row, images, where, dataset):
    try:
        box = tuple(int(row[name]) for name in CORNERS)
    except ValueError:
        box = ()
    if not box or box[0] > box[2] or box[1] > box[3]:
        found = ", ".join(row[name] for name in CORNERS)
        raise UserError(
            f"{where}: the box {found}, expected whole numbers with xmin <= xmax and ymin <= ymax "
            "(four times -1 for nothing)"
        )
    image = images.get(row["image"])
    if image is None or row["region"] not in {region.id for region in image.regions}:
        raise UserError(
            f"{where}: no region {row['region']!r} of an image {row['image']!r} in the data set "
            f"{dataset.directory}"
        )
    return Prediction(image, row["region"], box)


def score(
    dataset: Dataset, predictions: list[Prediction], workers: int = 1, folder: Path | None = None
) -> tuple[dict[str, list[tuple[int, int]]], Counter]:
    """Score ``predictions`` as rectangles and, after GrabCut in them, as masks.

    Returns {"bbox": ..., "grabcut": ...}, (intersection, union) in pixels of every prediction,
    image by image, and how many predictions have each of the notes of
    :func:`objseg.methods.grabcut.grabcut`. The same for any number of ``workers``. The GrabCut
    masks, 0 or 255, are written to ``folder``, if any, as <region>_<n>.png for prediction n = 0, 1
    ... of a region. Raises ImageError and DatasetError.
    """
    groups = {}
    for prediction in predictions:
        groups.setdefault(prediction.image.id, []).append(prediction)
    groups = list(groups.values())
    check_files(dataset, [group[0].image for group in groups])

    def of_image(number):
        group, rows, seen = groups[number], [], Counter()
        pixels, truth = dataset.pixels_and_masks(group[0].image)
        boxes = [prediction.box for prediction in group]
        for (_, region, _), (rectangle, _), (foreground, note) in zip(
            group, rectangles(pixels, boxes), foregrounds(pixels, boxes)
        ):
            if folder:
                write_png(folder / f"{region}_{seen[region]}.png", np.uint8(foreground) * 255)
            seen[region] += 1
            rows.append((areas(rectangle, truth[region]), areas(foreground, truth[region]), note))
        return rows

    rows, workers = [], max(1, min(workers, len(groups)))
    with Progress(len(predictions), "grabcut", "prediction") as progress, \
            contextlib.closing(Prefetcher(of_image, workers, count=len(groups))) as results:
        for result in results:
            rows += result
            progress.advance(len(result))
    bbox, grabcut, notes = zip(*rows)
    return {"bbox": bbox, "grabcut": grabcut}, Counter(filter(None, notes))
