"""Per-word segmentation: a map for each word, combined (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.devices import use_device
from objseg.frequent_words import FrequentWords
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image
from objseg.weights import load_net

COMBINE = {
    "average": lambda scores: scores.mean(axis=0) > 0,
    "intersection": lambda scores: (scores > 0).all(axis=0),
    "union": lambda scores: (scores > 0).any(axis=0),
}
"""How the words' score maps (K, H, W) become one mask: "a) take the average of their scores or b)
take the intersection of their prediction or c) take the union of their prediction"."""


class WordSegmenter:
    """The net that scores frequent words; ``words`` is a FrequentWords."""

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        use_device(gpu)
        self.net = load_net(deploy, weights, fixed=("upsample32s",))
        self.words = FrequentWords.load(vocabulary, self.net.params["score_words"][1].shape[0])
        self.input_size = self.net.blobs["image"].shape[2]

    def masks(self, combine, image, expressions, image_id=None):
        """Iterate over the masks of ``expressions``, bool (H, W), on a BGR uint8 image (H, W, 3).

        An expression without a frequent word is all background. The trunk runs once.
        """
        height, width = image.shape[:2]
        placement = Placement(height, width, self.input_size)
        outputs = [self.words.outputs(expression) for expression in expressions]
        asked = sorted(set().union(*outputs))
        maps = {}
        if asked:
            self.net.blobs["image"].data[0] = net_input(resize_and_pad(image, self.input_size))
            self.net.blobs["words"].reshape(len(asked))
            self.net.reshape()
            self.net.blobs["words"].data[...] = asked
            (scores,) = self.net.forward().values()
            maps = {word: score_on_image(score[0], placement) for word, score in zip(asked, scores)}
        for words in outputs:
            if words:
                yield combine(np.stack([maps[word] for word in words]))
            else:
                yield np.zeros((height, width), bool)


def open_method(combination, configuration):
    """Load the net; ``combination`` is a key of ``COMBINE``."""
    segmenter = WordSegmenter(
        configuration.deploy, configuration.weights, configuration.vocabulary, configuration.gpu
    )
    return partial(segmenter.masks, COMBINE[combination])
