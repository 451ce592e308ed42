"""The model in use: an image and expressions in, response maps on the image out."""

import time

import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.names import head
from objseg.caffe.weights import check_vocabulary, load_net
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image

EXPRESSIONS_AT_ONCE = 16
"""Expressions that share one pass through the head; bounds the memory, not the result."""


class Segmenter:
    """A trained net of either stage.

    ``deploy`` is a deploy prototxt, ``weights`` a caffemodel (None keeps the random start),
    ``vocabulary`` an :class:`objseg.data.expressions.Vocabulary`, ``gpu`` a device number or None.
    Raises WeightsError or UserError when they do not belong together.
    """

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        use_device(gpu)
        self.net = load_net(deploy, weights)
        check_vocabulary(self.net, vocabulary, deploy)
        self.vocabulary = vocabulary
        self.input_size = self.net.blobs["image"].shape[2]
        self.words = self.net.blobs["tokens"].shape[0]
        self._head = head(self.net)
        self._image = self._in_trunk = None

    def set_image(self, image: np.ndarray) -> None:
        """Choose the image, BGR uint8 (H, W, 3), that :meth:`predict` looks at."""
        self._image = self._prepare(image)

    def predict(self, expressions: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Segment what each of N ``expressions`` names in the image of :meth:`set_image`.

        Returns N masks, bool (H, W), and N response maps, float32 (H, W), above 0 in the mask.
        """
        scores = list(self._scores(*self._image, expressions))
        return [score > 0 for score in scores], scores

    def responses(self, image, expressions):
        """Iterate over the net's response maps, float32 (h, w), one an expression.

        ``image`` is BGR uint8 (H, W, 3). A score above 0 means foreground.
        """
        _, pixels = self._prepare(image)
        return self._responses(pixels, expressions)

    def scores(self, image, expressions):
        """Iterate over response maps on the image itself, float32 (H, W), one an expression."""
        return self._scores(*self._prepare(image), expressions)

    def _prepare(self, image):
        """Return the image's Placement in the net's input, and that input (3, S, S)."""
        placement = Placement(image.shape[0], image.shape[1], self.input_size)
        return placement, net_input(resize_and_pad(image, self.input_size))

    def _scores(self, placement, pixels, expressions):
        for response in self._responses(pixels, expressions):
            yield score_on_image(response, placement)

    def _responses(self, pixels, expressions):
        """Iterate over the response maps of the net's input ``pixels``.

        The trunk runs once for the same array, and again where another image was shown to the net
        in between; the head runs for up to ``EXPRESSIONS_AT_ONCE`` expressions together.
        """
        for first in range(0, len(expressions), EXPRESSIONS_AT_ONCE):
            chunk = expressions[first:first + EXPRESSIONS_AT_ONCE]
            self._set_expressions(chunk)
            if self._in_trunk is pixels:  # its features are still in their blob
                output = self.net.forward(start=self._head)
            else:
                self.net.blobs["image"].data[0] = pixels
                output, self._in_trunk = self.net.forward(), pixels
            (scores,) = output.values()
            yield from scores[:, 0].copy()

    def _set_expressions(self, expressions):
        blobs, count = self.net.blobs, len(expressions)
        if blobs["tokens"].shape[1] != count:
            blobs["tokens"].reshape(self.words, count)
            blobs["continuation"].reshape(self.words, count)
            blobs["image_index"].reshape(count)
            self.net.reshape()
        for name, columns in self.vocabulary.encode_all(expressions, self.words).items():
            blobs[name].data[...] = columns
        blobs["image_index"].data[...] = np.zeros(count)


def time_responses(segmenter, image, groups):
    """Score groups of expressions on ``image``, with a pass of the trunk for each group.

    Returns (list of response maps, seconds).
    """
    began = time.perf_counter()
    responses = [
        response for group in groups for response in segmenter.responses(image, group)
    ]
    return responses, time.perf_counter() - began
