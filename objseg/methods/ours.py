"""The paper's own model in use: an image and expressions in, response maps and masks out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from objseg.caffe.names import head
from objseg.caffe.weights import check_vocabulary
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import (
    check_trained_with,
    deploy_beside,
    open_net,
    vocabulary_beside,
    weights_in,
)

EXPRESSIONS_AT_ONCE = 16
"""Expressions that share one pass through the head; bounds the memory, not the result."""


class Segmenter:
    """A trained net of either stage.

    ``deploy`` is a deploy prototxt, ``weights`` a caffemodel (None keeps the random start),
    ``vocabulary`` an :class:`objseg.data.expressions.Vocabulary`, ``gpu`` a device number or None.
    ``input_size`` is the side of the picture that the net sees, where its input is not that picture
    but what the convolutions give of it. Raises WeightsError or UserError when they do not belong
    together.

    Example::

        segmenter = Segmenter.load("out/demo")
        segmenter.set_image(cv2.imread("photo.jpg"))
        masks, scores = segmenter.predict(["sky", "red car"])
    """

    def __init__(
        self, deploy, weights, vocabulary: Vocabulary, gpu: int | None = None,
        input_size: int | None = None,
    ):
        self.net = open_net(deploy, weights, gpu)
        check_vocabulary(self.net, vocabulary, deploy)
        self.vocabulary = vocabulary
        self._input = next(iter(self.net.blobs))
        self.input_size = input_size or self.net.blobs[self._input].shape[2]
        self.words = self.net.blobs["tokens"].shape[0]
        self._head = head(self.net)
        self._image = self._in_trunk = None

    @classmethod
    def load(cls, folder: Path | str, model: str = "highres", gpu: int | None = None):
        """Open the newest weights of a ``model`` in a folder that tools/train.py wrote.

        Raises UserError where the folder has none, or where their net or vocabulary is missing.
        """
        weights = weights_in(folder, model)
        deploy, vocabulary = deploy_beside(weights, model), vocabulary_beside(weights, model)
        if not (deploy.is_file() and vocabulary.is_file()):
            raise UserError(
                f"{weights.parent}: no {deploy.relative_to(weights.parent)} or no "
                f"{vocabulary.name}, which tools/train.py writes beside the weights"
            )
        check_trained_with(weights, vocabulary)
        return cls(deploy, weights, Vocabulary.load(vocabulary), gpu)

    def set_image(self, image: np.ndarray) -> None:
        """Choose the image, BGR uint8 (H, W, 3), that :meth:`predict` looks at.

        Raises ValueError for another kind of array.
        """
        self._image = self.prepare(image)

    def predict(self, expressions: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Segment what each of N ``expressions`` names in the image of :meth:`set_image`.

        Returns N masks, bool (H, W), and N response maps, float32 (H, W), above 0 in the mask.
        For a great number of them :meth:`scores` takes less memory.
        """
        if self._image is None:
            raise RuntimeError("predict() needs an image: call set_image(image) first")
        scores = list(self.scores_of(self._image, expressions))
        return [score > 0 for score in scores], scores

    def responses(self, image: np.ndarray, expressions: list[str]) -> Iterator[np.ndarray]:
        """Iterate over the net's response maps, float32 (h, w), one per expression.

        ``image`` is BGR uint8 (H, W, 3). A score above 0 means foreground.
        """
        _, pixels = self.prepare(image)
        return self._responses(pixels, expressions)

    def scores(self, image: np.ndarray, expressions: list[str]) -> Iterator[np.ndarray]:
        """Iterate over response maps on the image itself, float32 (H, W), one per expression."""
        return self.scores_of(self.prepare(image), expressions)

    def prepare(self, image: np.ndarray) -> tuple[Placement, np.ndarray]:
        """Return the image's Placement in the net's input, and that input (3, S, S)."""
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise ValueError(
                f"an image of shape {image.shape} and type {image.dtype}; expected (H, W, 3) and "
                "uint8, blue first, as cv2.imread returns it"
            )
        return self.placed(*image.shape[:2]), net_input(resize_and_pad(image, self.input_size))

    def placed(self, height: int, width: int) -> Placement:
        """Return the Placement of an image of this size in the net's input."""
        return Placement(height, width, self.input_size)

    def scores_of(
        self, prepared: tuple[Placement, np.ndarray], expressions: list[str]
    ) -> Iterator[np.ndarray]:
        """Iterate over response maps on an image that :meth:`prepare` has placed."""
        placement, pixels = prepared
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
                self.net.blobs[self._input].data[0] = pixels
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
        blobs["image_index"].data[...] = 0


def open_responses(configuration: Configuration) -> Find:
    """Load the net; what it finds are response maps on the image, float32 (H, W)."""
    segmenter = Segmenter(
        configuration.deploy, configuration.weights, Vocabulary.load(configuration.vocabulary),
        configuration.gpu,
    )
    return lambda image, expressions, image_id=None: (
        (score, None) for score in segmenter.scores(image, expressions)
    )


def positive(image, responses):
    """Take pixels with a score above 0 (section 3.3): an iterator over (bool (H, W), None)."""
    return ((response > 0, None) for response in responses)
