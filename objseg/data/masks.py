"""Region masks: reading mask files, boxes, and the prepared set's lossless packing."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from objseg.errors import UserError
from objseg.files import atomic_path

VARIABLE = "segimg_t"


class MaskError(UserError):
    """A mask file that cannot be used; the message names the file."""


def read_mat(path: Path) -> np.ndarray:
    """Read ReferIt's mask file and return the region as bool (H, W).

    The file holds a matrix ``segimg_t`` of any number type in which **0 is the region**. Raises
    MaskError for a missing or corrupted file or another content.
    """
    import scipy.io  # only here: prepared data sets are read without it

    try:
        content = scipy.io.loadmat(path, variable_names=[VARIABLE])
    except Exception as error:  # a damaged file makes loadmat raise nearly anything
        raise MaskError(f"{path}: not a readable MATLAB file ({error or type(error).__name__})") \
            from error
    if VARIABLE not in content:
        raise MaskError(f"{path}: holds no variable {VARIABLE!r}")
    matrix = content[VARIABLE]
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "biuf" or matrix.ndim != 2 \
            or not matrix.size:
        shape = getattr(matrix, "shape", None)
        dtype = getattr(matrix, "dtype", type(matrix).__name__)
        raise MaskError(
            f"{path}: {VARIABLE} is {dtype} of shape {shape}, expected a matrix of numbers"
        )
    return matrix == 0


def read_mask_image(path: Path) -> np.ndarray:
    """Read a mask that is a picture, such as a PNG, and return the region as bool (H, W).

    **Black is outside**, and one other colour, as white, is inside. Raises MaskError for a missing
    or damaged file, for shades or several colours, and for transparent pixels.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except OSError as error:
        raise MaskError(f"{path}: {error.strerror}") from error
    except cv2.error as error:  # more pixels than OpenCV allocates
        raise MaskError(f"{path}: OpenCV refuses the picture ({error.err})") from error
    if image is None or image.dtype.kind != "u":
        raise MaskError(f"{path}: not a picture of 8 or 16 bits, or a damaged one; expected a PNG")
    colours: np.ndarray = np.atleast_3d(image)  # (H, W, channels)
    if colours.shape[2] in (2, 4):
        if (colours[:, :, -1] != np.iinfo(colours.dtype).max).any():
            raise MaskError(f"{path}: has transparent pixels; expected black and one other colour")
        colours = colours[:, :, :-1]
    inside = colours.max(axis=2) > 0
    if (others := colours[inside]).size and (others != others[0]).any():
        raise MaskError(
            f"{path}: not binary: has {len(np.unique(others, axis=0))} colours beside black; "
            "expected black outside and one other colour, as white, inside"
        )
    return inside


def resize_nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize ``mask`` bool (h, w) to (height, width) with nearest neighbours."""
    if mask.shape == (height, width):
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return resized.astype(bool)


def bounding_box(mask: np.ndarray) -> list[int] | None:
    """Return the box [xmin, ymin, xmax, ymax] of ``mask`` bool (H, W) in inclusive pixels.

    None when the mask is empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]


def save_masks(
    path: Path, masks: dict[str, np.ndarray], shape: tuple[int, int], note: str = ""
) -> str:
    """Write the masks of one image, ``{region id: bool (H, W)}``, losslessly and atomically.

    ``shape`` is the image's (H, W), stored for an image without regions too. The file is a
    compressed .npz of ``ids`` (N,) str, ``shape`` (2,), ``bits`` (N, ceil(H * W / 8)) uint8, each
    row a mask packed by ``numpy.packbits``, and ``note``, any text of the writer's. Returns the
    checksum of the masks, :func:`masks_digest`.
    """
    bits = np.zeros((len(masks), -(-shape[0] * shape[1] // 8)), np.uint8)
    for row, (region, mask) in zip(bits, masks.items()):
        if mask.shape != tuple(shape):
            raise MaskError(
                f"region {region}: a mask of shape {mask.shape} in an image of {tuple(shape)}"
            )
        row[:] = np.packbits(mask)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, ids=np.array(list(masks), "U"), shape=np.array(shape), bits=bits, note=note
        )
    return masks_digest(list(masks), shape, bits)


def masks_digest(ids: list[str], shape: tuple[int, int], bits: np.ndarray) -> str:
    """Return the sha256 of packed masks: their regions, the image's (H, W), and every bit."""
    digest = hashlib.sha256(json.dumps([ids, [int(side) for side in shape]]).encode())
    digest.update(np.ascontiguousarray(bits).data)
    return digest.hexdigest()


def load_masks(path: Path, digest: str | None = None) -> dict[str, np.ndarray]:
    """Read ``{region id: bool (H, W)}`` as written by ``save_masks``.

    Raises FileNotFoundError, and MaskError for a broken file or, where ``digest`` is given, for
    masks of another :func:`masks_digest`.
    """
    ids, (height, width), bits = _load(path, "ids", "shape", "bits")
    if digest is not None and masks_digest(ids.tolist(), (height, width), bits) != digest:
        raise MaskError(f"{path}: not the masks that index.json was written for")
    try:
        flat = np.unpackbits(bits, axis=1, count=height * width).astype(bool)
        return dict(zip(ids.tolist(), flat.reshape(len(ids), height, width)))
    except ValueError as error:
        raise MaskError(f"{path}: not a file of packed masks ({error})") from error


def load_note(path: Path) -> tuple[str, str]:
    """Read the ``note`` of a file written by ``save_masks``, and its masks' digest.

    Raises the errors of ``load_masks``.
    """
    ids, (height, width), bits, note = _load(path, "ids", "shape", "bits", "note")
    return str(note), masks_digest(ids.tolist(), (height, width), bits)


def _load(path: Path, *names: str) -> list[np.ndarray]:
    try:
        with np.load(path) as archive:
            return [archive[name] for name in names]
    except FileNotFoundError:
        raise
    except Exception as error:  # like loadmat, zipfile raises nearly anything on damage
        raise MaskError(f"{path}: not a file of packed masks ({error})") from error
