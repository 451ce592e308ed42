"""Boxes: int arrays (B, 4) of xmin, ymin, xmax, ymax in inclusive pixels, 0 the first one."""

import numpy as np

BOX_FEATURES = 8
"""Columns of :func:`spatial_features`."""


def clip(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cut ``boxes`` (B, 4) to an image of ``width`` x ``height`` pixels; int64 (K, 4).

    Boxes wholly outside are dropped, so K <= B; the order is kept.
    """
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4)
    last = width - 1, height - 1
    inside = (boxes[:, 2:] >= 0).all(axis=1) & (boxes[:, :2] <= last).all(axis=1)
    return np.clip(boxes[inside], 0, last + last)


def whole_image(width: int, height: int) -> np.ndarray:
    """Return the box of an image of ``width`` x ``height`` pixels: int64 (4,)."""
    return np.array([0, 0, width - 1, height - 1])


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of ``boxes`` (B, 4) in pixels: int64 (B,)."""
    boxes = np.asarray(boxes, np.int64)
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of ``boxes`` (B, 4) with ``others``, float64 (B,).

    ``others`` is one box (4,), or one per box (B, 4).
    """
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4)
    others = np.asarray(others, np.int64).reshape(-1, 4)
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2]) + 1
    intersection = sides.clip(min=0).prod(axis=1)
    return intersection / (box_areas(boxes) + box_areas(others) - intersection)


def spatial_features(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the positions of ``boxes`` (B, 4) in an image in units of its size: float32 (B, 8).

    Columns are xmin, ymin, xmax, ymax, centre x, centre y, width, height, where -1 is the left or
    upper edge of the image and +1 the right or lower one, so that a width is at most 2 (Hu et al.,
    "Natural Language Object Retrieval", CVPR 2016, section 3.2).
    """
    corners = 2 * np.asarray(boxes).reshape(-1, 4) / (width, height, width, height) - 1
    low, high = corners[:, :2], corners[:, 2:]
    return np.hstack([low, high, (low + high) / 2, high - low]).astype(np.float32)


def with_position(features: np.ndarray, boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Append :func:`spatial_features` of ``boxes`` (B, 4) to ``features`` (B, D): (B, D + 8)."""
    return np.hstack([features, spatial_features(boxes, width, height)])


def box_mask(box, height: int, width: int) -> np.ndarray:
    """Return the mask of a ``box`` (4,), cut to an image: bool (height, width)."""
    xmin, ymin, xmax, ymax = np.asarray(box).clip(min=-1)  # -2 would be the last but one
    mask = np.zeros((height, width), bool)
    mask[max(ymin, 0) : ymax + 1, max(xmin, 0) : xmax + 1] = True
    return mask
