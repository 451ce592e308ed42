"""Classification over segmentation proposals: the segment that best matches (paper section 4.1)."""

import numpy as np

from objseg.caffe.names import FEATURES, head
from objseg.geometry import MEAN_BGR
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import open_net_and_words
from objseg.regions.proposals import note_if_few
from objseg.regions.segments import SegmentReader, segment_inputs

SEGMENTS_AT_ONCE = 10
"""Segments that pass the trunk together; bounds the memory (0.6 GB at the paper's size), not the
result."""


class McgScorer:
    """Scores segments with a trained net of models/mcg.py, a caffe.Net."""

    def __init__(self, net, vocabulary):
        self.net, self.vocabulary = net, vocabulary
        self.words = self.net.blobs["tokens"].shape[0]
        self.crop = self.net.blobs["image"].shape[2]
        self._head = head(self.net)

    def scores(
        self, image: np.ndarray, segments: list[np.ndarray], expressions: list[str]
    ) -> np.ndarray:
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
        given = dict(
            fc8=features, spatial=spatial,
            region_index=np.tile(np.arange(count), len(expressions)),
            sample_index=np.repeat(np.arange(len(expressions)), count),
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


def open_segments(configuration: Configuration) -> Find:
    """Load the net; what it finds is the segment that scores best, bool (H, W).

    Segments are those of the image in ``configuration.proposals``, or made from the image where
    that is None.
    """
    scorer = McgScorer(*open_net_and_words(configuration))
    read_segments = configuration.proposals and SegmentReader(configuration.proposals)

    def find(image, expressions, image_id=None):
        if read_segments is None:
            from objseg.regions.segment_proposals import segment_proposals

            segments = segment_proposals(image)
        else:
            segments = read_segments(image_id, *image.shape[:2])
        note = note_if_few(len(segments))
        for best in scorer.scores(image, segments, expressions).argmax(axis=1):
            yield segments[best], note

    return find


def as_found(image, segments):
    """Take the segments that were found as the masks: an iterator over (bool (H, W), None)."""
    return ((segment, None) for segment in segments)
