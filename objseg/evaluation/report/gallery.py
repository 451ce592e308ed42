"""The pictures of the page, in the manner of the paper's Figures 4 to 11.

Which samples are shown follows from rules and a fixed shuffle, never from a person's choice.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from objseg.evaluation.evaluate import predict
from objseg.plots import data_uri, overlay, thumbnail

FAILURE = 0.5
"""A sample whose IoU is below is a failure (Figures 7 and 11)."""

CHOICES = {
    "Best": "The samples of greatest IoU.",
    "Median": "The samples in the middle of the order of IoU.",
    "Failures": f"Drawn by chance among the samples of IoU below {FAILURE}.",
}
"""Rows of pictures of one method, and how their samples are chosen."""

QUANTILES = (np.arange(6) + 0.5) / 6
"""Where in the order of IoU the samples lie on which methods are compared."""

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
    rows: list


def gallery(dataset, by_pass, folder):
    """Predict the masks of a few samples and draw them; returns a list of Sections.

    ``by_pass`` is a list of lists of Evaluations whose methods share a pass of a net, the method of
    most interest last. ``folder`` keeps the masks, so that drawing again loads no net.
    """
    last = by_pass[-1][-1]
    columns = _columns(by_pass)
    compared = spread(last) if len(columns) > 1 else []
    chosen = choose(last)
    several = several_expressions(last.samples)
    alone = [sample for row in [*chosen.values(), *several] for sample in row]
    drawn = {}
    for group in by_pass:
        samples = compared + (alone if group[-1] is last else [])
        if samples:
            drawn.update(_findings(dataset, group, samples, folder))
    sections = []
    if compared:
        sections.append(Section(
            "Methods side by side",
            f"Samples at {len(QUANTILES)} evenly spaced places in the order of the IoU of "
            f"{last.method.title}, from its worst to its best.",
            [_comparison(dataset, sample, columns, drawn) for sample in compared],
        ))
    mine = drawn[last.method.name]
    if several:
        sections.append(Section(
            f"Several expressions on one image: {last.method.title}",
            "Images drawn by chance among those with three described regions.",
            [(None, [_prediction(dataset, s, mine) for s in row]) for row in several],
        ))
    for title, row in chosen.items():
        sections.append(Section(
            f"{title}: {last.method.title}", CHOICES[title],
            [(None, [_prediction(dataset, sample, mine) for sample in row])],
        ))
    return sections


def choose(evaluation, count=4):
    """Pick samples to show: {title: Samples} for the titles of ``CHOICES``, ``count`` of each.

    None of these rows shows an image or an expression twice. Samples of equal IoU are taken in a
    shuffled but fixed order, so that they do not all come from the first images. A title without
    samples is left out.
    """
    shuffled, order = _orders(evaluation)
    ranks = {
        "Best": order[::-1],
        "Median": _from(order, 0.5),
        "Failures": shuffled[evaluation.ious[shuffled] < FAILURE],
    }
    chosen = {title: _first(evaluation.samples, rank, count) for title, rank in ranks.items()}
    return {title: samples for title, samples in chosen.items() if samples}


def spread(evaluation):
    """Pick a Sample at each of the ``QUANTILES`` of the IoU, no image and no expression twice."""
    _, order = _orders(evaluation)
    shown = set()
    return [
        sample for quantile in QUANTILES
        for sample in _first(evaluation.samples, _from(order, quantile), 1, shown)
    ]


def several_expressions(samples, count=2, least=3, most=4):
    """Pick ``count`` images with different expressions for ``least`` regions: lists of Samples.

    A region is shown by its first expression that is not there yet, and at most ``most`` regions of
    an image are. ``samples`` are in the data set's order.
    """
    images = [list(group) for _, group in groupby(samples, key=lambda sample: sample.image.id)]
    rows = []
    for n in np.random.RandomState(0).permutation(len(images)):
        row = []
        for sample in images[n]:
            if all(
                sample.region.id != other.region.id and sample.expression != other.expression
                for other in row
            ):
                row.append(sample)
        if len(row) >= least:
            rows.append(row[:most])
        if len(rows) == count:
            break
    return rows


def _orders(evaluation):
    """Indices of samples shuffled, always alike, and these by ascending IoU."""
    shuffled = np.random.RandomState(0).permutation(len(evaluation.samples))
    return shuffled, shuffled[np.argsort(evaluation.ious[shuffled], kind="stable")]


def _from(order, quantile):
    """The indices ``order`` (N,) by their distance from a place in it."""
    places = np.arange(len(order))
    return order[np.argsort(np.abs(places - quantile * (len(order) - 1)), kind="stable")]


def _first(samples, ranked, count, shown=None):
    """The first ``count`` Samples by the indices ``ranked``, no image and no expression twice.

    Nor those in the set ``shown``, which what is chosen is added to.
    """
    shown = set() if shown is None else shown
    chosen = []
    for index in ranked:
        if len(chosen) == count:
            break
        sample = samples[index]
        shows = {("image", sample.image.id), ("expression", sample.expression)}
        if shows.isdisjoint(shown):
            shown |= shows
            chosen.append(sample)
    return chosen


def _key(sample):
    return sample.region.id, sample.expression


def _findings(dataset, group, samples, folder):
    """Predict: {method: {key of a sample: (mask, IoU)}} for the Evaluations ``group``."""
    keys = [_key(sample) for sample in samples]
    found = {}
    for evaluation, masks in zip(group, predict(dataset, group, samples, folder)):
        ious = {_key(sample): iou for sample, iou in zip(evaluation.samples, evaluation.ious)}
        found[evaluation.method.name] = {
            key: (mask, ious[key]) for key, mask in zip(keys, masks)
        }
    return found


def _columns(by_pass):
    """The methods to compare, a list for each picture.

    A box and what GrabCut finds in it share a picture, as in Figure 4. Of the ways to combine words
    the first is shown, and the whole image needs no picture.
    """
    columns = []
    for group in by_pass:
        methods = [evaluation.method for evaluation in group]
        if methods[0].model is not None:
            columns.append(methods if methods[0].needs == "features" else methods[:1])
    return columns


def _comparison(dataset, sample, columns, drawn):
    """A row of the comparison: the true region, then a picture for each of ``columns``."""
    image, truth = _read(dataset, sample)
    pictures = [_picture(image, SMALL, "true region", f"region {sample.region.id}", region=truth)]
    for methods in columns:
        masks, ious = {}, []
        for method in methods:
            mask, iou = drawn[method.name][_key(sample)]
            masks["box" if method.name.endswith("-bbox") else "mask"] = mask
            ious.append(f"{method.title.split()[-1]} {iou:.2f}" if methods[1:] else f"{iou:.2f}")
        title = methods[0].title.split()[0] if methods[1:] else methods[0].title
        pictures.append(_picture(image, SMALL, title, f"IoU {', '.join(ious)}", **masks))
    return f"“{sample.expression}”", pictures


def _prediction(dataset, sample, findings):
    """The prediction for a sample, with the outline of its region."""
    image, truth = _read(dataset, sample)
    mask, iou = findings[_key(sample)]
    return _picture(
        image, LARGE, f"“{sample.expression}”", f"IoU {iou:.2f} · region {sample.region.id}",
        mask=mask, truth=truth,
    )


def _read(dataset, sample):
    return dataset.pixels(sample.image), dataset.masks(sample.image)[sample.region.id]


def _picture(image, side, text, note, **masks):
    """Draw ``masks``, the keywords of :func:`objseg.plots.overlay`, on a smaller ``image``."""
    image, small = thumbnail(image, list(masks.values()), side)
    return Picture(data_uri(overlay(image, **dict(zip(masks, small)))), text, note)
