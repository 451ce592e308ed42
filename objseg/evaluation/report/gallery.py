"""The pictures of the page, in the manner of the paper's Figures 4 to 11.

Rules and a fixed shuffle decide which samples are shown, never a person.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset, Sample
from objseg.evaluation.evaluate import Evaluation
from objseg.plots import data_uri, overlay, thumbnail

SMALL, LARGE = 320, 480
"""Longest sides of pictures, in pixels: many in a row, and four."""

QUANTILES = (np.arange(6) + 0.5) / 6
"""Places in the order of IoU at which methods are compared, 0 the least."""

LEAST, MOST = 3, 4
"""Regions of an image that is shown with several expressions."""


class Picture(NamedTuple):
    """A picture as a data URI, a line of text below it, and a smaller one."""

    uri: str
    text: str
    note: str


class Section(NamedTuple):
    """A part of the gallery: how its samples were chosen, and rows of (heading, Pictures)."""

    title: str
    note: str
    rows: list[tuple[str, list[Picture]]]


def gallery(dataset: Dataset, by_pass: list[list[Evaluation]]) -> list[Section]:
    """Predict the masks of a few samples and draw them.

    ``by_pass`` is what :func:`objseg.evaluation.evaluate.evaluate` returns, the method of most
    interest last.
    """
    # of the ways to combine words the first, and of a box and the foreground in it the foreground
    columns = [
        group[-1] if group[0].method.needs == "features" else group[0]
        for group in by_pass if group[0].method.model is not None
    ] or by_pass[-1]
    last = columns[-1]
    compared, several = at_quantiles(last), several_expressions(last.samples)
    alone = [index for row in several for index in row]
    masks = {
        each.method.name: predict(dataset, each, compared + alone if each is last else compared)
        for each in columns
    }
    sections = [
        Section(
            "From worst to best",
            f"Samples at {len(QUANTILES)} evenly spaced places in the order of the IoU of "
            f"{last.method.title}.",
            [_comparison(dataset, index, columns, masks) for index in compared],
        ),
        Section(
            f"Several expressions on one image: {last.method.title}",
            f"Images drawn by chance among those with at least {LEAST} described regions; up to "
            f"{MOST} of them are shown.",
            [_predictions(dataset, last, row, masks[last.method.name]) for row in several],
        ),
    ]
    return [section for section in sections if section.rows]


def at_quantiles(evaluation: Evaluation) -> list[int]:
    """Pick a sample at each of the ``QUANTILES`` of the IoU; returns indices.

    No image and no expression is picked twice. Samples of equal IoU are taken in a shuffled but
    fixed order, so that they do not all come from the first images.
    """
    shuffled = np.random.RandomState(0).permutation(len(evaluation.samples))
    order = shuffled[np.argsort(evaluation.ious[shuffled], kind="stable")]
    chosen, shown = [], set()
    for place in QUANTILES * (len(order) - 1):
        for index in order[np.argsort(np.abs(np.arange(len(order)) - place), kind="stable")]:
            sample = evaluation.samples[index]
            marks = {("image", sample.image.id), ("expression", sample.expression)}
            if shown.isdisjoint(marks):
                shown |= marks
                chosen.append(int(index))
                break
    return chosen


def several_expressions(samples: list[Sample], count: int = 2) -> list[list[int]]:
    """Pick ``count`` images with different expressions for ``LEAST`` to ``MOST`` of their regions.

    Returns lists of indices of ``samples``, which are in the data set's order. A region is shown by
    its first expression that is not there yet.
    """
    images = [list(group) for _, group in groupby(
        range(len(samples)), key=lambda index: samples[index].image.id
    )]
    rows = []
    for n in np.random.RandomState(0).permutation(len(images)):
        row, shown = [], set()
        for index in images[n]:
            marks = {("region", samples[index].region.id), samples[index].expression}
            if shown.isdisjoint(marks):
                shown |= marks
                row.append(index)
        if len(row) >= LEAST:
            rows.append(row[:MOST])
    return rows[:count]


def predict(
    dataset: Dataset, evaluation: Evaluation, indices: list[int]
) -> dict[int, np.ndarray]:
    """Return the masks, bool (H, W), of the samples of these ``indices``, by index.

    The net runs once for samples of one image that follow each other.
    """
    masks, samples = {}, evaluation.samples
    draw = evaluation.open_masks()
    for image, group in groupby(indices, key=lambda index: samples[index].image):
        group = list(group)
        drawn = draw([samples[index] for index in group], dataset.pixels(image))
        masks.update(zip(group, drawn))
    return masks


def _comparison(dataset, index, columns, masks):
    """Draw a row of the comparison: the true region, then a picture for each of ``columns``."""
    sample = columns[0].samples[index]
    image, truth = _read(dataset, sample)
    pictures = [_picture(image, SMALL, "true region", f"region {sample.region.id}", truth=truth)]
    for evaluation in columns:
        method, iou = evaluation.method, evaluation.ious[index]
        mask = masks[method.name][index]
        pictures.append(_picture(image, SMALL, method.title, f"IoU {iou:.2f}", mask=mask))
    return f"“{sample.expression}”", pictures


def _predictions(dataset, evaluation, indices, masks):
    """Draw a row of predictions, each with the outline of its region."""
    pictures = []
    for index in indices:
        sample, iou = evaluation.samples[index], evaluation.ious[index]
        image, truth = _read(dataset, sample)
        pictures.append(_picture(
            image, LARGE, f"“{sample.expression}”", f"IoU {iou:.2f} · region {sample.region.id}",
            mask=masks[index], truth=truth,
        ))
    return "", pictures


def _read(dataset, sample):
    return dataset.pixels(sample.image), dataset.masks(sample.image)[sample.region.id]


def _picture(image, side, text, note, **masks):
    """Draw ``masks``, the keywords of :func:`objseg.plots.overlay`, on a smaller ``image``."""
    image, small = thumbnail(image, list(masks.values()), side)
    return Picture(data_uri(overlay(image, **dict(zip(masks, small)))), text, note)
