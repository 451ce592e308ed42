"""The candidate box that scores best, and its mask: the rectangle, or GrabCut inside it (4.1)."""

from collections import Counter

import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.weights import check_vocabulary, load_net
from objseg.data.expressions import Vocabulary
from objseg.methods.grabcut import grabcut
from objseg.regions.boxes import box_mask, whole_image
from objseg.regions.features import FeaturesError, region_source
from objseg.regions.proposals import tally_few


def open_best_box(scorer, configuration):
    """Load what the Configuration names; returns the ``find`` of
    :class:`objseg.methods.table1.Method`.

    ``scorer(net, vocabulary)`` returns a function of an image's RegionFeatures and N expressions to
    the scores (N, B) of its boxes. What is found are boxes, tuples of 4. ``tally`` is that of
    :func:`objseg.regions.proposals.tally_few`.
    """
    use_device(configuration.gpu)
    net = load_net(configuration.deploy, configuration.weights)
    vocabulary = Vocabulary.load(configuration.vocabulary)
    check_vocabulary(net, vocabulary, configuration.deploy, configuration.vocabulary)
    score, features_of = scorer(net, vocabulary), region_source(configuration)

    def find(image, expressions, image_id=None, tally=None):
        regions = features_of(image, image_id)
        whole = whole_image(regions.width, regions.height)
        only_whole = np.array_equal(regions.boxes, [whole])
        tally_few(tally, len(regions.boxes), only_whole, len(expressions))
        for scores in score(regions, expressions):
            yield tuple(regions.boxes[scores.argmax()].tolist())

    return find


def rectangles(image, boxes, tally=None):
    """Draw all of every box in ``image`` (H, W, 3): an iterator over bool (H, W)."""
    for box in boxes:
        yield box_mask(box, *image.shape[:2])


def foregrounds(image, boxes, tally=None):
    """Draw the foreground of every box, which GrabCut finds: an iterator over bool (H, W).

    ``tally`` counts what :func:`objseg.methods.grabcut.grabcut` does, an expression each.
    """
    known = {}
    for box in boxes:
        if box not in known:
            found = Counter()
            known[box] = grabcut(image, box, tally=found), found
        mask, found = known[box]
        if tally is not None:
            tally.update(found)
        yield mask


def check_width(blob, features):
    """Raise FeaturesError unless rows of ``features`` (R, D) fit the net's ``blob`` (·, D)."""
    if features.shape[1] != blob.shape[1]:
        raise FeaturesError(
            f"{features.shape[1]} features of a box for a net that takes {blob.shape[1]}: the net "
            "and the trunk are of different sizes"
        )
