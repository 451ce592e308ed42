"""Proposals on disk: lists of boxes in the published EdgeBoxes format, and MCG's result files."""

import numpy as np
import scipy.io

from objseg.files import write_text


class ProposalsError(ValueError):
    """A file of proposals that cannot be used; the message names it and the line."""


def read_boxes(path):
    """Read a list of boxes, best first: int64 (B, 4) of xmin, ymin, xmax, ymax, inclusive.

    The file has a line of four whole numbers a box, as the published EdgeBoxes lists of SCRC; it
    may be empty. Raises ProposalsError for a missing file and for another content.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise ProposalsError(
            f"{path} does not exist; make it with: python tools/make_proposals.py --kind boxes"
        ) from None
    except UnicodeDecodeError as error:
        raise ProposalsError(f"{path}: not a list of boxes ({error})") from error
    boxes = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            xmin, ymin, xmax, ymax = map(int, line.split())
        except ValueError:
            raise ProposalsError(
                f"{path}, line {number}: {line!r}, expected four whole numbers: xmin ymin xmax ymax"
            ) from None
        if xmin > xmax or ymin > ymax:
            raise ProposalsError(f"{path}, line {number}: {line!r} is a box that ends before it "
                                 "starts, expected xmin ymin xmax ymax")
        boxes.append((xmin, ymin, xmax, ymax))
    return np.array(boxes, np.int64).reshape(-1, 4)


def write_boxes(path, boxes):
    """Write ``boxes`` (B, 4) in the format that :func:`read_boxes` reads, atomically."""
    write_text(path, "".join(f"{' '.join(map(str, box))}\n" for box in np.asarray(boxes).tolist()))


def read_mcg(path, height, width, count):
    """Read MCG's segments of an image, best first: bool (B, height, width), B <= ``count``.

    The MATLAB file has the variable ``mask``, (H, W, N). Raises ProposalsError for anything else.
    """
    try:
        mask = scipy.io.loadmat(path, variable_names=["mask"])["mask"]
    except Exception as error:  # a damaged file makes loadmat raise nearly anything
        raise ProposalsError(f"{path}: holds no readable variable 'mask' ({error!r})") from error
    if mask.ndim != 3 or mask.shape[:2] != (height, width):
        raise ProposalsError(
            f"{path}: mask of shape {mask.shape}, expected ({height}, {width}, number of segments)"
        )
    return np.ascontiguousarray(np.moveaxis(mask[:, :, :count] != 0, 2, 0))
