"""Per-word segmentation: a map for each word, combined (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.data.frequent_words import FrequentWords
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import open_net


class WordSegmenter:
    """The net that scores frequent words; ``words`` is a FrequentWords."""

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        self.net = open_net(deploy, weights, gpu, fixed=("upsample32s",))
        self.words = FrequentWords.load(vocabulary, self.net.params["score_words"][1].shape[0])
        self.input_size = self.net.blobs["image"].shape[2]

    def maps(self, image, expressions, image_id=None):
        """Iterate over the score maps of the frequent words of each of ``expressions``.

        ``image`` is BGR uint8 (H, W, 3). Yields ((K, H, W) maps of K words in no order, None), or
        with K = 0 the note "no frequent word". The trunk runs once.
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
            found = np.reshape([maps[word] for word in words], (-1, height, width))
            yield found, None if words else "no frequent word"


def open_words(configuration: Configuration) -> Find:
    """Load the net; what it finds are score maps (K, H, W) of an expression's K words."""
    return WordSegmenter(
        configuration.deploy, configuration.weights, configuration.vocabulary, configuration.gpu
    ).maps


def _combined(combine, image, findings):
    """Draw masks where ``combine`` says so; an expression without words is all background."""
    for maps in findings:
        yield combine(maps) if len(maps) else np.zeros(image.shape[:2], bool), None


# "a) take the average of their scores or b) take the intersection of their prediction or c) take
# the union of their prediction" (section 4.1)
average = partial(_combined, lambda maps: maps.mean(axis=0) > 0)
intersection = partial(_combined, lambda maps: (maps > 0).all(axis=0))
union = partial(_combined, lambda maps: (maps > 0).any(axis=0))
