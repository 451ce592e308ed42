"""An image and expressions in, response maps and masks out, whatever computes the response maps."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image

EXPRESSIONS_AT_ONCE = 16
"""Expressions that share one pass through the head; bounds the memory, not the result."""


class BaseSegmenter(ABC):
    """A model of ``vocabulary`` that sees a square of ``input_size`` pixels a side.

    A class for one runtime sets both and defines :meth:`_head`.
    """

    vocabulary: Vocabulary
    input_size: int
    _image = None

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
        """Return the image's Placement in the net's input, and that input."""
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise ValueError(
                f"an image of shape {image.shape} and type {image.dtype}; expected (H, W, 3) and "
                "uint8, blue first, as cv2.imread returns it"
            )
        square = resize_and_pad(image, self.input_size)
        return self.placed(*image.shape[:2]), self._input_of(square)

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
        """Iterate over the response maps of the net's input ``pixels``."""
        for first in range(0, len(expressions), EXPRESSIONS_AT_ONCE):
            yield from self._head(pixels, expressions[first:first + EXPRESSIONS_AT_ONCE])

    def _input_of(self, square):
        """Return the net's input for a padded BGR square (S, S, 3) uint8."""
        return net_input(square)

    @abstractmethod
    def _head(self, pixels, expressions):
        """Return the response maps (N, h, w) of N expressions, at most EXPRESSIONS_AT_ONCE.

        The trunk runs once for the same array ``pixels``, and again where another image was shown
        to the net in between.
        """
