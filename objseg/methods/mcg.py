"""Classification over segmentation proposals: the segment that best matches (paper section 4.1)."""

import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.names import FEATURES, head
from objseg.caffe.weights import check_vocabulary, load_net
from objseg.data.expressions import Vocabulary
from objseg.geometry import MEAN_BGR
from objseg.regions.proposals import tally_few
from objseg.regions.segment_proposals import segment_proposals
from objseg.regions.segments import read_segments, segment_inputs

SEGMENTS_AT_ONCE = 10
"""Segments that pass the trunk together; bounds the memory (0.6 GB at the paper's size), not the
result."""


class McgScorer:
    """A trained net of models/mcg.py.

    The arguments are those of :class:`objseg.methods.ours.Segmenter`, and so are the errors.
    """

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        use_device(gpu)
        self.net = load_net(deploy, weights)
        check_vocabulary(self.net, vocabulary, deploy)
        self.vocabulary = vocabulary
        self.words = self.net.blobs["tokens"].shape[0]
        self.crop = self.net.blobs["image"].shape[2]
        self._head = head(self.net)

    def scores(self, image, segments, expressions):
        """Score how well R ``segments`` match N ``expressions`` (list of str): float32 (N, R).

        ``image`` is BGR uint8 (H, W, 3), a segment bool (H, W) and not empty. A score above 0 means
        that a match is more probable than not, at the proportion of matches in training.
        """
        blobs, count = self.net.blobs, len(segments)
        chunks = [
            self._features(image, segments[first:first + SEGMENTS_AT_ONCE])
            for first in range(0, count, SEGMENTS_AT_ONCE)
        ]
        features, spatial = (np.concatenate(parts) for parts in zip(*chunks))
        regions, samples = np.tile(np.arange(count), len(expressions)), np.repeat(
            np.arange(len(expressions)), count
        )
        given = dict(
            fc8=features, spatial=spatial, region_index=regions, sample_index=samples,
            **self.vocabulary.encode_all(expressions, self.words),
        )
        for name, array in given.items():
            blobs[name].reshape(*array.shape)
            blobs[name].data[...] = array
        # The blobs between are reshaped on the way; the trunk's stay as they are.
        (scores,) = self.net.forward(start=self._head).values()
        return scores.reshape(len(expressions), count).copy()

    def _features(self, image, segments):
        """Return the trunk's features of R segments, (R, D, 1, 1), and their spatial features."""
        blob, seen = self.net.blobs["image"], segment_inputs(image, segments, self.crop)
        blob.reshape(*seen["image"].shape)
        np.subtract(seen["image"], MEAN_BGR[:, None, None], out=blob.data)
        return self.net.forward(end=FEATURES)[FEATURES].copy(), seen["spatial"]


def open_segments(configuration):
    """Load the net; returns the ``find`` of :class:`objseg.methods.table1.Method`.

    What is found is the segment that scores best, bool (H, W). Segments are those of the image in
    ``configuration.proposals``, or made from the image where that is None. ``tally`` is that of
    :func:`objseg.regions.proposals.tally_few`.
    """
    classifier = McgScorer(
        configuration.deploy, configuration.weights, Vocabulary.load(configuration.vocabulary),
        configuration.gpu,
    )

    def find(image, expressions, image_id=None, tally=None):
        if configuration.proposals is None:
            segments = segment_proposals(image)
        else:
            segments = read_segments(configuration.proposals, image_id, *image.shape[:2])
        only_whole = len(segments) == 1 and segments[0].all()
        tally_few(tally, len(segments), only_whole, len(expressions))
        for best in classifier.scores(image, segments, expressions).argmax(axis=1):
            yield segments[best]

    return find


def as_found(image, findings, tally=None):
    """Take the segments that were found as the masks."""
    return iter(findings)
