"""Per-word segmentation: a map for each word, combined (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.data.frequent_words import FrequentWords
from objseg.geometry import Placement, net_input, resize_and_pad, response_on_image
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import open_net


def open_words(configuration: Configuration) -> Find:
    """Load the net; what it finds are score maps of the frequent words in an expression.

    They are (K, H, W) for K words in no order; with K = 0 the note is "no frequent word". The trunk
    runs once for all expressions.
    """
    net = open_net(
        configuration.deploy, configuration.weights, configuration.gpu, fixed=("upsample32s",)
    )
    count, size = net.params["score_words"][1].shape[0], net.blobs["image"].shape[2]
    frequent = FrequentWords.load(configuration.vocabulary, count)

    def find(image, expressions, image_id=None):
        height, width = image.shape[:2]
        placement = Placement(height, width, size)
        outputs = [frequent.outputs(expression) for expression in expressions]
        asked = sorted(set().union(*outputs))
        maps = {}
        if asked:
            net.blobs["image"].data[0] = net_input(resize_and_pad(image, size))
            net.blobs["words"].reshape(len(asked))
            net.reshape()
            net.blobs["words"].data[...] = asked
            (responses,) = net.forward().values()
            maps = {
                word: response_on_image(response[0], placement)
                for word, response in zip(asked, responses)
            }
        for words in outputs:
            found = np.reshape([maps[word] for word in words], (-1, height, width))
            yield found, None if words else "no frequent word"

    return find


def _combined(combine, image, findings):
    """Draw masks where ``combine`` says so; an expression without words is all background."""
    for maps in findings:
        yield combine(maps) if len(maps) else np.zeros(image.shape[:2], bool), None


# "a) take the average of their scores or b) take the intersection of their prediction or c) take
# the union of their prediction" (section 4.1)
average = partial(_combined, lambda maps: maps.mean(axis=0) > 0)
intersection = partial(_combined, lambda maps: (maps > 0).all(axis=0))
union = partial(_combined, lambda maps: (maps > 0).any(axis=0))
