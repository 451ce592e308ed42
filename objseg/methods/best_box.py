"""The candidate box that scores best, and its mask: the rectangle, or GrabCut inside it (4.1)."""

from collections.abc import Callable
from functools import cache

from objseg.errors import UserError
from objseg.methods.grabcut import grabcut
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import open_net_and_words
from objseg.regions.boxes import box_mask
from objseg.regions.crop_trunk import region_source
from objseg.regions.proposals import note_if_few


def open_best_box(scorer: Callable, configuration: Configuration) -> Find:
    """Load the net; what it finds is the box of the highest score, a tuple of 4.

    ``scorer(net, vocabulary)`` returns a function of an image's RegionFeatures and N expressions,
    which returns the scores (N, B) of its boxes.
    """
    score = scorer(*open_net_and_words(configuration))
    features_of = region_source(configuration)

    def find(image, expressions, image_id=None):
        regions = features_of(image, image_id)
        note = note_if_few(len(regions.boxes))
        for scores in score(regions, expressions):
            yield tuple(regions.boxes[scores.argmax()].tolist()), note

    return find


def rectangles(image, boxes):
    """Draw all of every box in ``image`` (H, W, 3): an iterator over (bool (H, W), None)."""
    for box in boxes:
        yield box_mask(box, *image.shape[:2]), None


def foregrounds(image, boxes):
    """Cut the foreground of every box; iterates over what grabcut returns, once per box."""
    return map(cache(lambda box: grabcut(image, box)), boxes)


def check_width(blob, features):
    """Raise UserError unless rows of ``features`` (R, D) fit the net's ``blob`` (·, D)."""
    if features.shape[1] != blob.shape[1]:
        raise UserError(
            f"{features.shape[1]} features of a box for a net that takes {blob.shape[1]}: the net "
            "and the trunk are of different sizes"
        )
