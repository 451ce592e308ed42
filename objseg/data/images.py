"""Reading photographs of every kind that users have, and writing pictures."""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from objseg.errors import UserError
from objseg.files import atomic_path

MAX_PIXELS = 500 * 500
"""Regions are looked for in a picture scaled down to so many pixels; ReferIt's have 480 x 360."""

ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Endings of the files in a folder that are taken for pictures, in small or capital letters."""

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"

# libjpeg's complaints about lost pixels. Up to 99 bytes between the last pixel and the end marker
# do no harm; some cameras write them.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: (?!\d\d? extraneous bytes before marker 0xd9).*"
    r"|Premature end of JPEG.*|Inconsistent progression.*"
)

_ONE_AT_A_TIME = threading.Lock()


class ImageError(UserError):
    """A file that cannot be read as a picture; the message names the file and what to do."""


class ChangedImageError(UserError):
    """A picture that is readable, but not the one that was prepared."""


def read_image(
    path: str | Path, oriented: bool = False, sha256: str | None = None
) -> np.ndarray:
    """Read a picture as BGR, (H, W, 3) uint8, whatever its channels and depth.

    Grey, palette and CMYK pictures are converted, 16 bit are reduced to 8, and an alpha channel is
    dropped: the colours stored under transparent pixels are what the net sees. ``oriented`` turns a
    JPEG, PNG or WebP as its EXIF orientation says; data sets are read without it, since their masks
    are drawn on the stored pixels. (A TIFF is always turned: its reader knows no other way.)

    Raises ImageError for a missing, empty, truncated, damaged, too large or foreign file, and
    ChangedImageError for a readable one of another checksum than ``sha256``, if that is given. In
    a JPEG, which has no checksums, a damage that still decodes cannot be noticed.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    image = decode_image(data, path, oriented)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise ChangedImageError(f"{path}: another picture than the one that was prepared")
    return image


def decode_image(data: bytes, name: str | Path, oriented: bool = False) -> np.ndarray:
    """Decode the content of a file as :func:`read_image` does; messages call it ``name``."""
    flags = cv2.IMREAD_COLOR if oriented else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if not data:
        raise ImageError(f"{name}: the file is empty; copy or download it again")
    try:
        image, damage = _decode(data, flags)
    except cv2.error as error:  # more than 2^30 pixels, which OpenCV refuses to allocate
        raise ImageError(f"{name}: OpenCV refuses the picture ({error.err})") from error
    if damage:
        raise ImageError(
            f"{name}: a truncated or damaged JPEG ({damage}); copy or download it again"
        )
    if image is None:
        raise ImageError(
            f"{name}: not a picture, or a damaged one; JPEG, PNG, TIFF, BMP and WebP are read"
        )
    return image


def _decode(data: bytes, flags: int) -> tuple[np.ndarray | None, str]:
    """Decode a picture. Returns it, or None, and what is wrong with it as a JPEG, or ""."""
    if not data.startswith(_JPEG_START):
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags), ""
    # OpenCV leaves what is missing grey and says nothing, unless it comes to an end marker.
    with _standard_error() as complaints:
        image = cv2.imdecode(np.frombuffer(data + _JPEG_END, np.uint8), flags)
        complaints.seek(0)
        text = complaints.read().decode(errors="replace")
    if damage := _DAMAGE.search(text):
        return image, damage.group()
    os.write(2, text.encode())
    return image, "no pixels" if image is None else ""


@contextlib.contextmanager
def _standard_error() -> Iterator[BinaryIO]:
    """Collect in a file what C code writes to standard error: libjpeg complains nowhere else."""
    with _ONE_AT_A_TIME, open(os.memfd_create("stderr"), "w+b") as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a folder, by name. Raises ImageError where there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise ImageError(f"{folder}: a folder without pictures ({', '.join(ENDINGS)})")
    return found


def shrink(image: np.ndarray) -> np.ndarray:
    """Return ``image`` (H, W, 3) uint8, scaled down to :data:`MAX_PIXELS` pixels if it has more."""
    scale = (MAX_PIXELS / (image.shape[0] * image.shape[1])) ** 0.5
    if scale >= 1:
        return image
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def write_image(path: Path, image: np.ndarray, *parameters: int) -> None:
    """Write an image, uint8 (H, W) or BGR (H, W, 3), atomically, in the format of its ending.

    ``parameters`` are those of ``cv2.imencode``, a name and a value in turn.
    """
    # OpenCV's own writing crashes on a path that is not UTF-8
    _, content = cv2.imencode(path.suffix, image, parameters)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.tobytes())


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image, uint8 (H, W) or BGR (H, W, 3), atomically; light compression, for speed."""
    write_image(path, image, cv2.IMWRITE_PNG_COMPRESSION, 1)
