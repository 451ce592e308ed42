"""The pictures of the page, in the manner of the paper's Figures 4 to 11."""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset
from objseg.evaluation.evaluate import Evaluation
from objseg.evaluation.report.choices import (
    CHOICES,
    LEAST,
    MOST,
    QUANTILES,
    at_quantiles,
    choose,
    several_expressions,
)
from objseg.methods.table1 import open_methods
from objseg.plots import data_uri, overlay, thumbnail

SMALL, LARGE = 320, 480
"""Longest sides of pictures, in pixels: many in a row, and four."""


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
    last = by_pass[-1][-1]
    columns = _columns(by_pass)
    compared = at_quantiles(last) if len(columns) > 1 else []
    several, chosen = several_expressions(last.samples), choose(last)
    alone = [index for row in [*several, *chosen.values()] for index in row]
    masks = {}
    for group in by_pass:
        indices = compared + (alone if group[-1] is last else [])
        if indices:
            masks |= predict(dataset, group, indices)
    mine = masks[last.method.name]
    sections = [
        Section(
            "Methods side by side",
            f"Samples at {len(QUANTILES)} evenly spaced places in the order of the IoU of "
            f"{last.method.title}, from its worst to its best.",
            [_comparison(dataset, index, columns, masks) for index in compared],
        ),
        Section(
            f"Several expressions on one image: {last.method.title}",
            f"Images drawn by chance among those with at least {LEAST} described regions; up to "
            f"{MOST} of them are shown.",
            [_predictions(dataset, last, row, mine) for row in several],
        ),
        *(Section(f"{title}: {last.method.title}", CHOICES[title],
                  [_predictions(dataset, last, row, mine)]) for title, row in chosen.items()),
    ]
    return [section for section in sections if section.rows]


def predict(
    dataset: Dataset, evaluations: list[Evaluation], indices: list[int]
) -> dict[str, dict[int, np.ndarray]]:
    """Return the masks, bool (H, W), of the samples of these ``indices``: {method: {index: mask}}.

    The methods share a pass of a net, which runs once for samples of one image that follow each
    other.
    """
    masks = {evaluation.method.name: {} for evaluation in evaluations}
    methods = open_methods([evaluation.configuration for evaluation in evaluations])
    samples = evaluations[0].samples
    for image, group in groupby(indices, key=lambda index: samples[index].image):
        group = list(group)
        expressions = [samples[index].expression for index in group]
        drawn = methods(dataset.pixels(image), expressions, image.id)
        for of_method, (found, _) in zip(masks.values(), drawn):
            of_method.update(zip(group, found))
    return masks


def _columns(by_pass):
    """List the Evaluations to compare, those of one picture together.

    A box and what GrabCut finds in it share a picture, as in Figure 4. Of the ways to combine words
    the first is shown, and the whole image needs no picture.
    """
    return [
        group if group[0].method.needs == "features" else group[:1]
        for group in by_pass if group[0].method.model is not None
    ]


def _comparison(dataset, index, columns, masks):
    """Draw a row of the comparison: the true region, then a picture for each of ``columns``."""
    sample = columns[0][0].samples[index]
    image, truth = _read(dataset, sample)
    pictures = [_picture(image, SMALL, "true region", f"region {sample.region.id}", truth=truth)]
    for evaluations in columns:
        drawn, ious, title = {}, [], evaluations[0].method.title
        for evaluation in evaluations:
            method, iou = evaluation.method, f"{evaluation.ious[index]:.2f}"
            drawn["box" if method.name.endswith("-bbox") else "mask"] = masks[method.name][index]
            ious.append(f"{method.title.split()[-1]} {iou}" if evaluations[1:] else iou)
        if evaluations[1:]:
            title = title.split()[0]
        pictures.append(_picture(image, SMALL, title, f"IoU {', '.join(ious)}", **drawn))
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
