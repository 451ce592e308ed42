"""Seconds per expression, as the paper's Table 2 counts them.

The time runs from the decoded image to the mask, with everything that is done anew for a picture:
proposals, features, language, drawing the mask. Loading a net is not part of it.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.evaluation.report.text import noted_data

SEED = 0


class Case(NamedTuple):
    """An image, BGR uint8 (H, W, 3), its ``expressions``, a list of str, and ``one`` of them."""

    image: np.ndarray
    expressions: list[str]
    one: str


def draw_cases(dataset: Dataset, split: str, count: int) -> list[Case]:
    """Draw ``count`` images at random, always the same ones, from those with an expression.

    Returns fewer Cases where the split has fewer such images. Raises UserError where it has none,
    ImageError and DatasetError as the data set's ``pixels`` does.
    """
    random, cases = np.random.RandomState(SEED), []
    images = dataset.images(split)
    for number in random.permutation(len(images)):
        image = images[number]
        expressions = [text for region in image.regions for text in region.expressions]
        if expressions and len(cases) < count:
            one = random.choice(expressions)
            cases.append(Case(dataset.pixels(image), expressions, one))
    if not cases:
        raise UserError(
            f"{dataset.directory}: the split {split} has no image with an expression "
            f"({len(images)} images); there is nothing to time"
        )
    return cases


def seconds_per_expression(
    masks: Callable, inputs: list[tuple], advance: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return the seconds per expression that a method takes for each of ``inputs``.

    ``masks`` is what :func:`objseg.methods.table1.open_methods` returns for one Configuration; an
    input is an image and a list of expressions. The first input is asked for once more in advance,
    which warms up and does not count. The masks are in the host's memory, so a GPU is waited for.
    ``advance`` is called after each call of ``masks`` that counts.
    """
    seconds = []
    for turn, (image, expressions) in enumerate([inputs[0], *inputs]):
        began = clock()
        ((drawn, _),) = masks(image, expressions)
        deque(drawn, maxlen=0)  # takes the masks one after the other
        took = clock() - began
        if turn > 0:
            seconds.append(took / len(expressions))
            advance()
    return seconds


def quartiles(seconds: list[float]) -> dict[str, float]:
    """Return median and quartiles of ``seconds``: {"median": …, "low": …, "high": …}."""
    low, median, high = np.percentile(seconds, [25, 50, 75]).tolist()
    return {"median": median, "low": low, "high": high}


def measure(
    masks: Callable, cases: list[Case], advance: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, float]]:
    """Time a method on ``cases``: {"alone": …, "shared": …}, quartiles in seconds per expression.

    Alone is an image with one expression, as in Table 2. Shared is an image with all of its
    expressions, over their number: what an expression takes where they share the image's proposals
    and features. The other arguments are those of :func:`seconds_per_expression`.
    """
    alone = [(case.image, [case.one]) for case in cases]
    shared = [(case.image, case.expressions) for case in cases]
    return {
        "alone": quartiles(seconds_per_expression(masks, alone, advance, clock)),
        "shared": quartiles(seconds_per_expression(masks, shared, advance, clock)),
    }


def table(outcome: dict) -> list[str]:
    """Return lines of text that show what tools/time_referit.py measured."""
    cells = [("seconds per expression", "alone", "shared", "paper, K40 GPU")]
    for method in outcome["methods"]:
        measured = (
            "{median:.3f} [{low:.3f}, {high:.3f}]".format(**method[kind])
            for kind in ("alone", "shared")
        )
        paper = "" if method["paper"] is None else f"{method['paper']:.3f}"
        cells.append((method["title"], *measured, paper))
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        f"{noted_data(outcome)}, split {outcome['split']}, size {outcome['size']}: "
        f"{outcome['samples']} images, each with one expression (alone) and with all of its "
        "expressions (shared)",
        f"{outcome['device']}, BLAS threads: {outcome['threads']}; median [quartiles]",
        "",
        *(
            "  ".join([title.ljust(widths[0]), *map(str.rjust, row, widths[1:])]).rstrip()
            for title, *row in cells
        ),
    ]
