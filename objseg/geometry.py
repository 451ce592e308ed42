"""Between an image of any size and the net's square input: resize with kept aspect, pad, and back.

The paper resizes and pads "all images and ground-truth segmentation to a fixed size W x H ...,
keeping their aspect ratio and padding the outside regions with zero" and maps the output back to
the original size (section 4.2). The padding is centred, as in the authors' TensorFlow code.
"""

from dataclasses import dataclass

import cv2
import numpy as np

MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
"""Channel means that VGG-16 was trained with, in the BGR order of Caffe's models."""


@dataclass(frozen=True)
class Placement:
    """The place of an image of ``height x width`` pixels in a square input of ``size`` pixels.

    Raises ValueError where a side is below 1.
    """

    height: int
    width: int
    size: int

    def __post_init__(self):
        if min(self.height, self.width, self.size) < 1:
            raise ValueError(
                f"an image of {self.width}x{self.height} pixels cannot be placed in an input of "
                f"{self.size}x{self.size}: every side must be at least 1"
            )

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and the columns of the input that the image covers, at least one of each."""
        scale = self.size / max(self.height, self.width)
        sides = [max(1, round(side * scale)) for side in (self.height, self.width)]
        first = [(self.size - side) // 2 for side in sides]
        return slice(first[0], first[0] + sides[0]), slice(first[1], first[1] + sides[1])


def resize_and_pad(
    image: np.ndarray, size: int, interpolation: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """Place ``image`` (H, W) or (H, W, C) in a zero square (size, size[, C]) of the same dtype.

    Returns the square. Its geometry is ``Placement(H, W, size)``.
    """
    square = np.zeros((size, size) + image.shape[2:], image.dtype)
    inner = square[Placement(image.shape[0], image.shape[1], size).window]
    inner[...] = cv2.resize(image, inner.shape[1::-1], interpolation=interpolation)
    return square


def resize_and_pad_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Place a boolean ``mask`` (H, W) in a square (size, size) bool; padding is background.

    A pixel of the square is foreground when more than half of what it covers is. (OpenCV's nearest
    neighbour takes the corner of that area, which shifts a mask against its image.)
    """
    return resize_and_pad(mask.astype(np.uint8) * 255, size, cv2.INTER_AREA) > 127


def coarse_label(mask: np.ndarray, cells: int, rule: str = "any") -> np.ndarray:
    """Downsample a square boolean ``mask`` (S, S) to (cells, cells) bool.

    A cell is positive when ``any`` of its pixels is (the authors' code), or when the ``majority``
    is: more than half of them. The paper says only that the ground truth is "downsampled"
    (section 4.2). Raises ValueError when ``cells`` does not divide S or the rule is unknown.
    """
    size = mask.shape[0]
    if mask.shape != (size, size) or size % cells:
        raise ValueError(f"a mask of shape {mask.shape} does not divide into {cells}x{cells} cells")
    blocks = mask.reshape(cells, size // cells, cells, size // cells)
    if rule == "any":
        return blocks.max(axis=(1, 3))
    if rule == "majority":
        return blocks.mean(axis=(1, 3)) > 0.5
    raise ValueError(f"coarse label rule {rule!r}: expected 'any' or 'majority'")


def net_input(square: np.ndarray) -> np.ndarray:
    """Turn a padded BGR square (S, S, 3) uint8 into the net's input (3, S, S) float32.

    The mean is subtracted everywhere, so padding becomes minus the mean, as in the authors' code.
    """
    return (square.astype(np.float32) - MEAN_BGR).transpose(2, 0, 1)


def response_on_image(response: np.ndarray, placement: Placement) -> np.ndarray:
    """Map a response map (h, w) float32 back onto the image; float32 (height, width)."""
    return cv2.resize(
        response_in_window(response, placement), (placement.width, placement.height),
        interpolation=cv2.INTER_LINEAR,
    )


def response_in_window(response: np.ndarray, placement: Placement) -> np.ndarray:
    """Return the part of a response map that shows the image, float32 in the window's shape.

    ``response`` (h, w) float32 of any resolution covers the whole square input; it is brought to
    the input size (this is the bilinear upsampling of the paper's low resolution row in Table 1),
    and the padding is cut off.
    """
    square = (placement.size, placement.size)
    if response.shape != square:
        response = cv2.resize(response, square, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(response[placement.window])
