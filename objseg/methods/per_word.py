"""Per-word segmentation: a map for each word, combined (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.weights import load_net
from objseg.data.frequent_words import FrequentWords
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image


class WordSegmenter:
    """The net that scores frequent words; ``words`` is a FrequentWords."""

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        use_device(gpu)
        self.net = load_net(deploy, weights, fixed=("upsample32s",))
        self.words = FrequentWords.load(vocabulary, self.net.params["score_words"][1].shape[0])
        self.input_size = self.net.blobs["image"].shape[2]

    def maps(self, image, expressions, image_id=None, tally=None):
        """Iterate over the score maps of the frequent words of each of ``expressions``.

        ``image`` is BGR uint8 (H, W, 3), maps are (K, H, W) of K words in no order. ``tally``
        counts the expressions with K = 0 under "no frequent word". The trunk runs once.
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
        if tally is not None:
            tally["no frequent word"] += sum(not words for words in outputs)
        for words in outputs:
            yield np.reshape([maps[word] for word in words], (-1, height, width))


def open_words(configuration):
    """Load the net; returns the ``find`` of :class:`objseg.methods.table1.Method`."""
    segmenter = WordSegmenter(
        configuration.deploy, configuration.weights, configuration.vocabulary, configuration.gpu
    )
    return segmenter.maps


def _combined(combine, image, findings, tally=None):
    """Draw masks where ``combine`` says so; an expression without words is all background."""
    for maps in findings:
        yield combine(maps) if len(maps) else np.zeros(image.shape[:2], bool)


# "a) take the average of their scores or b) take the intersection of their prediction or c) take
# the union of their prediction" (section 4.1)
average = partial(_combined, lambda maps: maps.mean(axis=0) > 0)
intersection = partial(_combined, lambda maps: (maps > 0).all(axis=0))
union = partial(_combined, lambda maps: (maps > 0).any(axis=0))
