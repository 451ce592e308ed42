"""Which samples are shown: rules and a fixed shuffle decide it, never a person.

No row shows an image or an expression twice, nor, as far as that is possible, a word.
"""

from collections.abc import Iterable
from itertools import groupby

import numpy as np

from objseg.data.dataset import Sample
from objseg.data.expressions import tokenize
from objseg.data.frequent_words import STOP_WORDS
from objseg.evaluation.evaluate import Evaluation

FAILURE = 0.5
"""A sample whose IoU is below is a failure (Figures 7 and 11)."""

CHOICES = {
    "Best": "The samples of greatest IoU, of expressions without a common word as far as possible.",
    "Failures": f"Drawn by chance among the samples of IoU below {FAILURE}.",
}
"""Rows of pictures of one method, and how their samples are chosen."""

QUANTILES = (np.arange(6) + 0.5) / 6
"""Places in the order of IoU at which methods are compared, 0 the least."""

LEAST, MOST = 3, 4
"""Regions of an image that is shown with several expressions."""


def choose(evaluation: Evaluation, count: int = 4) -> dict[str, list[int]]:
    """Pick up to ``count`` samples for each of ``CHOICES``; returns {title: indices}.

    A title without samples is left out. Samples of equal IoU are taken in a shuffled but fixed
    order, so that they do not all come from the first images.
    """
    shuffled, order = _orders(evaluation)
    failures = shuffled[evaluation.ious[shuffled] < FAILURE]
    rows = {
        "Best": _take(evaluation.samples, order[::-1], count, set()),
        "Failures": _take(evaluation.samples, failures, count, set()),
    }
    return {title: row for title, row in rows.items() if row}


def at_quantiles(evaluation: Evaluation) -> list[int]:
    """Pick a sample at each of the ``QUANTILES`` of the IoU; returns indices."""
    _, order = _orders(evaluation)
    places, shown, chosen = np.arange(len(order)), set(), []
    for quantile in QUANTILES:
        distances = np.abs(places - quantile * (len(order) - 1))
        nearest_first = order[np.argsort(distances, kind="stable")]
        chosen += _take(evaluation.samples, nearest_first, 1, shown)
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


def _orders(evaluation):
    """Return the indices of the samples, shuffled but always alike, and these by ascending IoU."""
    shuffled = np.random.RandomState(0).permutation(len(evaluation.samples))
    return shuffled, shuffled[np.argsort(evaluation.ious[shuffled], kind="stable")]


def _take(samples: list[Sample], ranked: Iterable[int], count: int, shown: set) -> list[int]:
    """Take up to ``count`` of the indices ``ranked`` of ``samples``, in their order.

    Skips images, expressions and, unless that gives too few, words that were shown before. Adds
    what it takes to the set ``shown``.
    """
    stop_words, taken = set(STOP_WORDS.read_text(encoding="utf-8").split()), []
    for without_words in (True, False):
        for index in ranked:
            if len(taken) == count:
                return taken
            sample = samples[index]
            marks = {("image", sample.image.id), ("expression", sample.expression)}
            words = set(tokenize(sample.expression)) - stop_words
            if shown.isdisjoint(marks | words if without_words else marks):
                shown |= marks | words
                taken.append(int(index))
    return taken
