"""Pictures of candidate regions, as a classification net sees them: a box, or a segment alone."""

import cv2
import numpy as np

from objseg.data.masks import bounding_box
from objseg.geometry import MEAN_BGR

OUTSIDE = np.rint(MEAN_BGR).astype(np.uint8)
"""Colour of the pixels outside a segment: about 0 once the net's mean is subtracted."""


def crop(image: np.ndarray, box, side: int) -> np.ndarray:
    """Cut ``box`` (xmin, ymin, xmax, ymax, inclusive) out of ``image`` and resize it to a square.

    ``image`` is uint8 (H, W, 3) or (H, W); returns uint8 (side, side, 3) or (side, side). The
    aspect is not kept (paper section 4.1, "resizing it to 224x224"). Raises ValueError for a box
    that does not lie in the image.
    """
    xmin, ymin, xmax, ymax = box
    height, width = image.shape[:2]
    if not (0 <= xmin <= xmax < width and 0 <= ymin <= ymax < height):
        raise ValueError(f"the box {list(map(int, box))} does not lie in {width}x{height} pixels")
    inside = image[ymin : ymax + 1, xmin : xmax + 1]
    shrinks = min(inside.shape[:2]) > side  # only then does INTER_AREA average
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(inside, (side, side), interpolation=interpolation)


def masked_crop(image: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """Cut out the bounding box of ``mask`` and blank what is outside the segment.

    ``image`` is BGR uint8 (H, W, 3), ``mask`` bool (H, W) with at least one pixel. Returns BGR
    uint8 (side, side, 3): a pixel is ``OUTSIDE`` unless at least half of what it covers is in the
    segment ("those pixels outside the segmentation region are filled with channel mean", paper
    section 4.1). Raises ValueError for an empty mask.
    """
    box = bounding_box(mask)
    if box is None:
        raise ValueError("an empty mask has no picture")
    picture = crop(image, box, side)
    xmin, ymin, xmax, ymax = box
    inside = mask[ymin : ymax + 1, xmin : xmax + 1].astype(np.uint8) * 255  # cut first: it is fast
    picture[crop(inside, (0, 0, xmax - xmin, ymax - ymin), side) < 128] = OUTSIDE
    return picture
