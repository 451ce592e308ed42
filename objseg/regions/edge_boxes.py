"""EdgeBoxes (Zitnick and Dollár, ECCV 2014): candidate boxes, best first."""

from pathlib import Path

import cv2
import numpy as np

from objseg.data.images import shrink
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.regions.boxes import clip
from objseg.regions.proposals import PROPOSALS

FOREST = REPOSITORY / "models" / "structured_edges.yml.gz"
"""Where tools/download.py puts the structured forest; it is used when it is there."""

SIGMA = 2
"""Blur before the gradient, in pixels."""

SURROUND = 16
"""Sigma in pixels of the neighbourhood whose mean gradient is taken off an edge's.

So texture inhibits itself, and an outline does not (surround suppression: Grigorescu, Petkov and
Westenberg, IEEE Transactions on Image Processing 2003).
"""

FULL_EDGE = 1.5
"""Strength from which on an edge counts in full, in mean gradients of the image."""

LEAST_FULL_EDGE = 2.0
"""The least such strength, in units of Lab (L is at most 100) per pixel: less is noise."""

RADIUS = 2
"""Pixels on either side of an edge that must not be stronger, as in OpenCV's edgesNms."""

ON_GRADIENTS = {"beta": 0.65, "clusterMinMag": 3}
"""EdgeBoxes' parameters on gradient edges, where OpenCV has the authors' 0.75 and 0.5.

More distinct boxes, and no short edges, which are texture and cost half of the time. These and the
values above were chosen by the recall of regions in the training splits of two sets of photographs;
docs/results.md has the recall in their test splits.
"""


def edge_boxes(image: np.ndarray, count: int = PROPOSALS, model=None) -> np.ndarray:
    """Return at most ``count`` boxes of ``image`` (BGR uint8, (H, W, 3)) best first: int64 (B, 4).

    Boxes are xmin, ymin, xmax, ymax in inclusive pixels. ``model`` is the edge detector that
    :func:`structured_forest` returns; without one edges are found by :func:`gradient_edges`. A
    picture without edges has no boxes. Large pictures are reduced first
    (:func:`objseg.data.images.shrink`).
    """
    height, width = image.shape[:2]
    small = shrink(image)
    if model is None:
        edges, orientation = gradient_edges(small)
        finder = cv2.ximgproc.createEdgeBoxes(maxBoxes=count, **ON_GRADIENTS)
    else:
        found = model.detectEdges(small[..., ::-1].astype(np.float32) / 255)
        orientation = model.computeOrientation(found)
        edges = model.edgesNms(found, orientation)
        finder = cv2.ximgproc.createEdgeBoxes(maxBoxes=count)
    boxes, _ = finder.getBoundingBoxes(edges, orientation)
    corners = np.reshape(boxes, (-1, 4)).astype(float)  # x, y, width, height
    corners[:, 2:] += corners[:, :2]
    corners *= np.tile([width / small.shape[1], height / small.shape[0]], 2)
    return clip(np.rint(corners) - (0, 0, 1, 1), width, height)


def default_forest() -> Path | None:
    """Return the path of the structured forest where it has been fetched, else None."""
    return FOREST if FOREST.is_file() else None


def structured_forest(path: str | Path):
    """Load the edge detector of Dollár and Zitnick (ICCV 2013) from ``path``.

    The file is the model.yml.gz of OpenCV's extra repository (testdata/cv/ximgproc). Raises
    UserError when it cannot be read as such.
    """
    if not Path(path).is_file():
        raise UserError(
            f"{path} does not exist: the structured forest, model.yml.gz of the repository "
            "opencv_extra, folder testdata/cv/ximgproc; without it edges are colour gradients"
        )
    try:
        # OpenCV divides by this number unseen, which would end the process.
        file = cv2.FileStorage()  # opened apart, since the constructor hides the error
        file.open(str(path), cv2.FILE_STORAGE_READ)
        options = file.getNode("options")
        if options.isMap() and options.getNode("numberOfTrees").real() >= 1:
            return cv2.ximgproc.createStructuredEdgeDetection(str(path))
        reason = "it names no number of trees"
    except cv2.error as error:
        reason = error.err
    raise UserError(
        f"{path}: not a structured forest as opencv_extra's model.yml.gz is ({reason})"
    )


def gradient_edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find thin edges of ``image`` (BGR uint8, (H, W, 3)) in the steepest of its Lab channels.

    Returns their strength, float32 (H, W) in [0, 1], and the direction across them, float32 (H, W)
    in [0, pi), as EdgeBoxes takes them.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    lab = cv2.GaussianBlur(lab, (0, 0), SIGMA)
    gradient = np.stack([
        cv2.Scharr(lab, -1, 1, 0, scale=1 / 32), cv2.Scharr(lab, -1, 0, 1, scale=1 / 32)
    ])  # (2, H, W, 3), Lab per pixel
    steepest = (gradient ** 2).sum(axis=0).argmax(axis=2)[None, :, :, None]
    x, y = np.take_along_axis(gradient, steepest, axis=3)[..., 0]  # (H, W) each
    strength = np.hypot(x, y)  # Lab per pixel
    across = np.arctan2(y, x) % np.float32(np.pi)

    rows, columns = np.indices(strength.shape, np.float32)
    thin = np.ones(strength.shape, bool)
    for step in set(range(-RADIUS, RADIUS + 1)) - {0}:
        beside = cv2.remap(
            strength, columns + step * np.cos(across), rows + step * np.sin(across),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )
        thin &= strength >= beside / 1.0001  # equal ones stay, whatever the rounding
    outline = np.maximum(0, strength - cv2.GaussianBlur(strength, (0, 0), SURROUND))
    full = max(LEAST_FULL_EDGE, FULL_EDGE * strength.mean())
    return np.minimum(1, outline / full) * thin, across
