"""GrabCut: the foreground inside a box (section 4.1), and a mask's edge."""

import cv2
import numpy as np

from objseg.data.images import shrink
from objseg.data.masks import resize_nearest
from objseg.regions.boxes import box_mask

MIXTURE = 5
"""Gaussians of a mixture in OpenCV's GrabCut, which cannot start from fewer pixels than that."""

ITERATIONS, SEED = 5, 0

MARGIN = 96
"""A mask's edge is moved by at most one part in so many of the picture's longer side.

Chosen on a quarter of the val photographs, by the mean IoU with an earlier model. No band, then
96, 64, 48 and 32: 52.3, 55.5, 56.1, 56.1 and 55.2 % on 232 expressions of photographs; 65.0, 65.4,
64.8, 63.3 and 61.7 % on 90 of streets, which thin things such as poles are part of.
"""


def grabcut(image: np.ndarray, box) -> tuple[np.ndarray, str | None]:
    """Cut out the foreground of ``box`` (xmin, ymin, xmax, ymax, inclusive).

    ``image`` is BGR, uint8 (H, W, 3). Outside the box, which is cut to the image, everything is
    background; inside, ``cv2.grabCut`` decides in ITERATIONS. The same input gives the same
    mask, whatever the number of threads: OpenCV's random generator is seeded for that. A picture
    of more than :data:`objseg.data.images.MAX_PIXELS` is cut on a smaller one, so that the outline
    is coarser: the time grows faster than the picture, and one of 2.8 million pixels took over a
    minute.

    Returns (foreground, bool (H, W), None). **Where there is no foreground the whole rectangle is
    taken**, with a note in place of None: "empty result" when GrabCut finds none, and "degenerate
    box" when it cannot start, with fewer than MIXTURE pixels inside the box, as in one that lies
    outside the image, or outside it, as in one that covers the image.
    """
    height, width = image.shape[:2]
    rectangle = box_mask(box, height, width)
    image = shrink(image)
    inside = resize_nearest(rectangle, *image.shape[:2])
    if min(np.count_nonzero(inside), np.count_nonzero(~inside)) < MIXTURE:
        return rectangle, "degenerate box"
    # The labels that GC_INIT_WITH_RECT would set; a scaled box need not be whole pixels.
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    foreground = resize_nearest(_cut(image, labels) == cv2.GC_PR_FGD, height, width) & rectangle
    if not foreground.any():
        return rectangle, "empty result"
    return foreground, None


def refine(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Move the edge of ``mask``, bool (H, W), to where the picture has one; returns a new mask.

    ``image`` is BGR, uint8 (H, W, 3). GrabCut decides in a band on both sides of the edge; what is
    farther inside or outside stays. A mask without an inside or an outside beyond the band is
    returned as it is.
    """
    height, width = mask.shape
    image = shrink(image)
    small = resize_nearest(mask, *image.shape[:2]).astype(np.uint8)
    radius = max(1, max(small.shape) // MARGIN)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    inside, outside = cv2.erode(small, disk), 1 - cv2.dilate(small, disk)
    if min(np.count_nonzero(inside), np.count_nonzero(outside)) < MIXTURE:
        return mask
    labels = np.where(small, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside > 0], labels[outside > 0] = cv2.GC_FGD, cv2.GC_BGD
    found = np.isin(_cut(image, labels), (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    # the nearest pixels of a smaller picture would be steps in a large one
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def _cut(image, labels):
    """Run GrabCut from ``labels`` uint8 (H, W), which it changes; returns them."""
    models = np.zeros((2, 1, 13 * MIXTURE))
    cv2.setRNGSeed(SEED)
    cv2.grabCut(image, labels, None, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return labels
