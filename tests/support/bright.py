"""A segmenter without a net, whose answers are known: "bright" names bright pixels."""

import time

import cv2
import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.methods.segmenter import Segmenter

VOCABULARY = Vocabulary.build(["the bright dark car person on left sky"], min_count=1)


class BrightSegmenter(Segmenter):
    """The response is 8 times the brightness's distance from grey, for "dark" turned round.

    Other words give -1 everywhere. ``delay`` is what a phrase takes, in seconds; ``trunks`` counts.
    """

    vocabulary = VOCABULARY
    input_size = 64

    def __init__(self, delay: float = 0.0):
        self.delay, self.trunks = delay, 0

    def _input_of(self, square):
        return square

    def _trunk(self, pixels):
        self.trunks += 1
        return pixels.mean(axis=2, dtype=np.float32) / 255

    def _head(self, features, expressions):
        time.sleep(self.delay)
        signs = [("bright" in text) - ("dark" in text) for text in expressions]
        return np.stack([sign * 8 * (features - 0.5) if sign else features * 0 - 1
                         for sign in signs])


def half_bright(height: int = 40, width: int = 60, ending: str = ".png") -> bytes:
    """Encode a picture whose left half is bright and whose right half is dark."""
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[:, :width // 2] = 220
    return cv2.imencode(ending, picture)[1].tobytes()
