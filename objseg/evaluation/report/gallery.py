"""The pictures of the page, in the manner of the paper's Figures 4 to 11."""

from pathlib import Path
from typing import NamedTuple

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
from objseg.evaluation.report.masks import predict
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


def gallery(dataset: Dataset, by_pass: list[list[Evaluation]], folder: Path) -> list[Section]:
    """Predict the masks of a few samples and draw them.

    ``by_pass`` is what :func:`objseg.evaluation.evaluate.evaluate` returns, the method of most
    interest last. ``folder`` keeps the masks, so that drawing again loads no net.
    """
    last = by_pass[-1][-1]
    columns = _columns(by_pass)
    compared = at_quantiles(last) if len(columns) > 1 else []
    several, chosen = several_expressions(last.samples), choose(last)
    alone = [sample for row in [*several, *chosen.values()] for sample in row]
    findings = {}
    for group in by_pass:
        samples = compared + (alone if group[-1] is last else [])
        if samples:
            findings |= _findings(dataset, group, samples, folder)
    mine = findings[last.method.name]
    sections = [
        Section(
            "Methods side by side",
            f"Samples at {len(QUANTILES)} evenly spaced places in the order of the IoU of "
            f"{last.method.title}, from its worst to its best.",
            [_comparison(dataset, sample, columns, findings) for sample in compared],
        ),
        Section(
            f"Several expressions on one image: {last.method.title}",
            f"Images drawn by chance among those with at least {LEAST} described regions; up to "
            f"{MOST} of them are shown.",
            [_predictions(dataset, row, mine) for row in several],
        ),
        *(Section(f"{title}: {last.method.title}", CHOICES[title],
                  [_predictions(dataset, row, mine)]) for title, row in chosen.items()),
    ]
    return [section for section in sections if section.rows]


def _key(sample):
    return sample.region.id, sample.expression


def _findings(dataset, group, samples, folder):
    """Predict: {method: {key of a sample: (mask, IoU)}} for the Evaluations ``group``."""
    keys = [_key(sample) for sample in samples]
    found = {}
    for evaluation, masks in zip(group, predict(dataset, group, samples, folder)):
        ious = dict(zip(map(_key, evaluation.samples), evaluation.ious))
        found[evaluation.method.name] = {
            key: (mask, ious[key]) for key, mask in zip(keys, masks)
        }
    return found


def _columns(by_pass):
    """List the methods to compare, those of one picture together.

    A box and what GrabCut finds in it share a picture, as in Figure 4. Of the ways to combine words
    the first is shown, and the whole image needs no picture.
    """
    columns = []
    for group in by_pass:
        methods = [evaluation.method for evaluation in group]
        if methods[0].model is not None:
            columns.append(methods if methods[0].needs == "features" else methods[:1])
    return columns


def _comparison(dataset, sample, columns, findings):
    """Draw a row of the comparison: the true region, then a picture for each of ``columns``."""
    image, truth = _read(dataset, sample)
    pictures = [_picture(image, SMALL, "true region", f"region {sample.region.id}", truth=truth)]
    for methods in columns:
        masks, ious = {}, []
        for method in methods:
            mask, iou = findings[method.name][_key(sample)]
            masks["box" if method.name.endswith("-bbox") else "mask"] = mask
            ious.append(f"{method.title.split()[-1]} {iou:.2f}" if methods[1:] else f"{iou:.2f}")
        title = methods[0].title.split()[0] if methods[1:] else methods[0].title
        pictures.append(_picture(image, SMALL, title, f"IoU {', '.join(ious)}", **masks))
    return f"“{sample.expression}”", pictures


def _predictions(dataset, samples, findings):
    """Draw a row of predictions, each with the outline of its region."""
    pictures = []
    for sample in samples:
        image, truth = _read(dataset, sample)
        mask, iou = findings[_key(sample)]
        pictures.append(_picture(
            image, LARGE, f"“{sample.expression}”", f"IoU {iou:.2f} · region {sample.region.id}",
            mask=mask, truth=truth,
        ))
    return "", pictures


def _read(dataset, sample):
    return dataset.pixels(sample.image), dataset.masks(sample.image)[sample.region.id]


def _picture(image, side, text, note, **masks):
    """Draw ``masks``, the keywords of :func:`objseg.plots.overlay`, on a smaller ``image``."""
    image, small = thumbnail(image, list(masks.values()), side)
    return Picture(data_uri(overlay(image, **dict(zip(masks, small)))), text, note)
