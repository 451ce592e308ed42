"""Region masks: reading ReferIt's MATLAB files, boxes, and the prepared set's lossless packing."""

import hashlib
import io
import json
import zipfile

import cv2
import numpy as np

from objseg.errors import UserError
from objseg.files import atomic_path

VARIABLE = "segimg_t"


class MaskError(UserError):
    """A mask file that cannot be used; the message names the file."""


def read_mat(path):
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


def fit(mask, height, width):
    """Resize ``mask`` bool (h, w) to (height, width) with nearest neighbours."""
    if mask.shape == (height, width):
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return resized.astype(bool)


def bounding_box(mask):
    """Return the box [xmin, ymin, xmax, ymax] of ``mask`` bool (H, W) in inclusive pixels.

    None when the mask is empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]


def save_masks(path, masks, shape, note=""):
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
    digest.update(np.ascontiguousarray(bits))
    return digest.hexdigest()


def load_masks(path, digest=None):
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


def digest_of(path):
    """Return the :func:`masks_digest` of a whole file; errors as in ``load_masks``."""
    ids, shape, bits = _load(path, "ids", "shape", "bits")
    return masks_digest(ids.tolist(), shape, bits)


def load_note(path):
    """Read the ``note`` of a file written by ``save_masks``; errors as in ``load_masks``."""
    return str(_load(path, "note")[0])


def _load(path, *names):
    # Not np.load, which writes to stderr about a damaged file besides raising (numpy 1.19).
    try:
        with zipfile.ZipFile(path) as archive:
            members = [io.BytesIO(archive.read(f"{name}.npy")) for name in names]
        return [np.lib.format.read_array(member, allow_pickle=False) for member in members]
    except FileNotFoundError:
        raise
    except Exception as error:  # like loadmat, zipfile raises nearly anything on damage
        raise MaskError(f"{path}: not a file of packed masks ({error})") from error
