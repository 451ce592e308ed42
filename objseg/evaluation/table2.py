"""How long methods take an input, as the paper's Table 2 counts it.

The time runs from the decoded image to the mask, with everything that is done anew for a picture:
proposals, features, language, drawing the mask. Loading a net is not part of it.
"""

import time
from collections import deque
from typing import NamedTuple

import numpy as np

from objseg.data.images import ImageError
from objseg.errors import UserError
from objseg.evaluation.report.text import noted_data

SEED = 0


class Case(NamedTuple):
    """An image, BGR uint8 (H, W, 3), its ``expressions``, a list of str, and ``one`` of them."""

    image: np.ndarray
    expressions: list
    one: str


def draw_cases(dataset, split, count):
    """Draw ``count`` images at random, always the same ones, from those with an expression.

    Returns a list of Cases, fewer where the split has fewer images, and a list of messages on
    images that could not be read, in whose place others are drawn. Raises UserError where no image
    is left.
    """
    random, cases, problems = np.random.RandomState(SEED), [], []
    images = dataset.images(split)
    for number in random.permutation(len(images)):
        image = images[number]
        expressions = [text for region in image.regions for text in region.expressions]
        if not expressions or len(cases) == count:
            continue
        try:
            pixels, _ = dataset.pixels_and_masks(image)
        except ImageError as error:
            problems.append(str(error))
            continue
        cases.append(Case(pixels, expressions, random.choice(expressions)))
    if not cases:
        raise UserError(
            f"{dataset.directory}: the split {split} has no readable image with an expression "
            f"({len(images)} images, {len(problems)} unreadable); there is nothing to time"
        )
    return cases, problems


def seconds_an_expression(masks, inputs, clock=time.perf_counter):
    """Iterate over the seconds an expression that a method takes for each of ``inputs``.

    ``masks`` is what :func:`objseg.methods.table1.open_methods` returns for one Configuration, an
    input an image and a list of expressions, ``clock`` a function that returns seconds. The first
    input is asked for once more in advance, which warms up and does not count. A GPU is waited for,
    since the masks that are taken lie in the host's memory.
    """
    for turn, (image, expressions) in enumerate([inputs[0], *inputs]):
        began = clock()
        ((drawn, _),) = masks(image, expressions)
        deque(drawn, maxlen=0)  # takes the masks one after the other
        took = clock() - began
        if turn:
            yield took / len(expressions)


def spread(seconds):
    """Median and quartiles of a list of numbers: {"median": …, "low": …, "high": …}."""
    low, median, high = np.percentile(seconds, [25, 50, 75]).tolist()
    return {"median": median, "low": low, "high": high}


def measure(masks, cases, advance=lambda: None, clock=time.perf_counter):
    """Time a method on ``cases``: {"alone": spread, "shared": spread} in seconds an expression.

    Alone is an image with one expression, as in Table 2. Shared is an image with all of its
    expressions, over their number: what an expression takes where they share the image's proposals
    and features. ``advance`` is called after each call.
    """
    def timed(inputs):
        for seconds in seconds_an_expression(masks, inputs, clock):
            advance()
            yield seconds

    return {
        "alone": spread(list(timed([(case.image, [case.one]) for case in cases]))),
        "shared": spread(list(timed([(case.image, case.expressions) for case in cases]))),
    }


def table(outcome):
    """Lines of text that show what tools/time_referit.py measured."""
    rows = [("seconds an expression", "alone", "shared", "paper, K40 GPU")]
    for method in outcome["methods"]:
        measured = (
            f"{part['median']:.3f} [{part['low']:.3f}, {part['high']:.3f}]"
            for part in (method["alone"], method["shared"])
        )
        paper = "" if method["paper"] is None else f"{method['paper']:.3f}"
        rows.append((method["title"], *measured, paper))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        f"{noted_data(outcome)}, split {outcome['split']}, size {outcome['size']}: "
        f"{outcome['samples']} images, each with one "
        "expression (alone) and with all of its expressions (shared)",
        f"{outcome['device']}, BLAS threads: {outcome['threads']}; median [quartiles]",
        "",
        *("  ".join([f"{row[0]:<{widths[0]}}",
                     *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))]).rstrip()
          for row in rows),
    ]
