"""Candidate regions of an image on disk: boxes as EdgeBoxes lists are published, MCG's segments."""

import io
import warnings
from pathlib import Path

import numpy as np

from objseg.data.masks import MaskError
from objseg.errors import UserError
from objseg.files import write_text
from objseg.regions.boxes import clip, whole_image

PROPOSALS = 100
"""Candidates of an image: "the 100 top-scoring" ones (section 4.1)."""


def read_boxes(path: Path) -> np.ndarray:
    """Read a list of an image's boxes, best first: int64 (B, 4).

    A row is ``xmin ymin xmax ymax`` in inclusive pixels from 0, in any notation of numbers, which
    are rounded. Boxes may reach outside the image and the file may be empty: see
    :func:`candidates`. Raises UserError for a missing file or another content.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy's, of an empty file
            rows = np.loadtxt(path, ndmin=2)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or 'no such file'}: the boxes proposed for an image; make "
            "them with: python tools/make_proposals.py --kind boxes"
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected rows of xmin ymin xmax ymax") from error
    rows = rows if rows.size else np.zeros((0, 4))
    if rows.shape[1] != 4:
        raise UserError(f"{path}: {rows.shape[1]} columns, expected xmin ymin xmax ymax")
    wrong = np.flatnonzero(~(np.abs(rows) < 2 ** 31).all(axis=1)
                           | (rows[:, :2] > rows[:, 2:]).any(axis=1))
    if len(wrong):
        row = " ".join(f"{value:g}" for value in rows[wrong[0]])
        raise UserError(
            f"{path}: box {wrong[0] + 1} is {row}, expected xmin <= xmax and ymin <= ymax"
        )
    return np.rint(rows).astype(np.int64)


def write_boxes(path: Path, boxes: np.ndarray) -> None:
    """Write ``boxes`` (B, 4), best first, atomically and in the form of the published lists."""
    text = io.StringIO()
    np.savetxt(text, boxes, fmt="%16.7e", delimiter="")  # as MATLAB's "save -ascii" writes them
    write_text(path, text.getvalue())


def candidates(boxes: np.ndarray, width: int, height: int, count: int = PROPOSALS) -> np.ndarray:
    """Cut ``boxes`` (B, 4), best first, to an image and return the first ``count``: int64 (K, 4).

    The image has ``width`` x ``height`` pixels; boxes wholly outside are dropped. **Where none is
    left, the whole image is the one candidate.**
    """
    inside = clip(boxes, width, height)
    return inside[:count] if len(inside) else whole_image(width, height)[None]


def note_if_few(count: int) -> str | None:
    """Return a note where an image has fewer candidates, ``count``, than PROPOSALS, else None."""
    return f"fewer than {PROPOSALS} candidates" if count < PROPOSALS else None


def read_mcg(path: Path, height: int, width: int, count: int = PROPOSALS) -> np.ndarray:
    """Read the first ``count`` segments of MCG's result for an image, best first: bool (B, H, W).

    The file is MATLAB's (up to version 7) and holds a matrix ``mask``, H x W x N. Raises MaskError
    for another content or another size of image.
    """
    import scipy.io  # only here: what was prepared is read without it

    try:
        content = scipy.io.loadmat(path, variable_names=["mask"])
    except Exception as error:  # a damaged file makes loadmat raise nearly anything
        raise MaskError(f"{path}: not a readable MATLAB file ({error or type(error).__name__})") \
            from error
    mask = content.get("mask")
    if mask is None:
        raise MaskError(f"{path}: holds no variable 'mask'; expected MCG's segments, H x W x N")
    mask = mask[..., None] if mask.ndim == 2 else mask  # MATLAB drops a last side of 1
    if mask.dtype.kind not in "biuf" or mask.ndim != 3 or mask.shape[:2] != (height, width):
        raise MaskError(
            f"{path}: mask is {mask.dtype} of shape {mask.shape}, expected numbers of shape "
            f"({height}, {width}, N), as the image is {width}x{height} pixels"
        )
    return np.moveaxis(mask[..., :count], 2, 0) != 0
