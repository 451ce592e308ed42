"""The rows of Table 1: every method turns an image and expressions into masks.

A method is an entry of ``METHODS``: a function that opens its net, which finds something for each
expression, and one that draws what was found as a mask. Rows of one model differ in the drawing
alone, so that the net runs once for all of them. A further method is a further entry and two
functions such as those of the modules beside this one.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

from objseg.methods import best_box, grounder, mcg, ours, per_word, scrc, whole_image
from objseg.methods.method import Configuration, Method

# Table 2 has one figure for the three ways to combine the words.
PER_WORD = dict(open=per_word.open_words, model="per-word", seconds=0.169)
SCRC = dict(open=scrc.open_boxes, model="scrc", needs="features")
GROUNDER = dict(open=grounder.open_boxes, model="grounder", needs="features")
RECTANGLE, GRABCUT = dict(draw=best_box.rectangles), dict(draw=best_box.foregrounds)
OURS = dict(open=ours.open_responses, draw=ours.positive)

METHODS = {
    method.name: method
    for method in (
        Method(
            "whole-image", "whole image", (5.07, 2.85, 1.58, 0.81, 0.41, 15.12),
            open=whole_image.open_nothing, draw=whole_image.everything,
        ),
        Method(
            "per-word-average", "per-word average", (10.97, 5.94, 2.35, 0.45, 0.00, 27.23),
            draw=per_word.average, **PER_WORD,
        ),
        Method(
            "per-word-intersection", "per-word intersection",
            (9.58, 5.35, 2.20, 0.43, 0.00, 26.69), draw=per_word.intersection, **PER_WORD,
        ),
        Method(
            "per-word-union", "per-word union", (10.46, 5.65, 2.28, 0.44, 0.00, 19.37),
            draw=per_word.union, **PER_WORD,
        ),
        Method(
            "scrc-bbox", "SCRC bbox", (9.73, 4.43, 1.51, 0.27, 0.03, 21.72), **SCRC, **RECTANGLE,
        ),
        Method(
            "scrc-grabcut", "SCRC grabcut", (11.91, 7.71, 4.33, 1.78, 0.36, 17.84),
            **SCRC, **GRABCUT, seconds=4.319,
        ),
        Method(
            "grounder-bbox", "GroundeR bbox", (11.08, 6.20, 2.74, 0.78, 0.20, 20.50),
            **GROUNDER, **RECTANGLE,
        ),
        Method(
            "grounder-grabcut", "GroundeR grabcut", (14.09, 9.62, 5.78, 2.65, 0.62, 20.09),
            **GROUNDER, **GRABCUT, seconds=3.753,
        ),
        Method(
            "mcg-classification", "MCG classification", (12.72, 9.88, 7.38, 4.73, 1.88, 18.08),
            open=mcg.open_segments, draw=mcg.as_found, model="mcg", needs="segments",
            seconds=9.375,
        ),
        Method(
            "lowres", "Ours (low resolution)", (29.54, 21.61, 13.69, 5.94, 0.75, 45.57),
            model="lowres", **OURS,
        ),
        Method(
            "highres", "Ours (high resolution)", (34.02, 26.71, 19.32, 11.63, 3.92, 48.03),
            model="highres", **OURS, seconds=0.325,
        ),
    )
}
"""Methods by name, in Table 1's order."""


def group_by_net(configurations: list[Configuration]) -> list[list[Configuration]]:
    """Split a list of Configurations into lists of neighbours that share a net and its files."""
    def net(configuration):
        model = METHODS[configuration.method].model
        return replace(configuration, method=model or configuration.method)

    return [list(group) for _, group in groupby(configurations, net)]


def open_methods(configurations: list[Configuration]) -> Callable:
    """Load the net that a list of Configurations shares, one of :func:`group_by_net`.

    Returns ``masks(image, expressions, image_id=None)``, which runs the net once and returns a pair
    for each Configuration: an iterator over the masks, bool (H, W), one per expression, and a
    Counter of the methods' notes, which is complete when the iterator ends.
    """
    methods = [METHODS[configuration.method] for configuration in configurations]
    find = methods[0].open(configurations[0])

    def counted(drawn, counter):
        for mask, note in drawn:
            if note:
                counter[note] += 1
            yield mask

    def masks(image, expressions, image_id=None):
        results = list(find(image, expressions, image_id))
        findings = [finding for finding, _ in results]
        pairs = []
        for method in methods:
            counter = Counter(note for _, note in results if note)
            pairs.append((counted(method.draw(image, findings), counter), counter))
        return pairs

    return masks
