"""Reading photographs of every kind that users have, and writing pictures."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from objseg.errors import UserError
from objseg.files import atomic_path

ENOUGH = 500 * 500
"""Pixels of a picture that finding candidate regions in it needs; ReferIt's have 480 x 360."""


class ImageError(UserError):
    """A file that cannot be read as a picture; the message names the file and what to do."""


class ChangedImageError(UserError):
    """A picture that is readable, but not the one that was prepared."""


def read_image(path, oriented=False, sha256=None):
    """Read a picture as BGR, (H, W, 3) uint8, whatever its channels and depth.

    Grey, palette and CMYK pictures are converted, 16 bit are reduced to 8, and an alpha channel is
    dropped: the colours stored under transparent pixels are what the net sees. ``oriented`` applies
    the EXIF orientation; data sets are read without it, since their masks are drawn on the stored
    pixels. Raises ImageError for a missing, empty, truncated, too large or foreign file, and
    ChangedImageError for a readable one of another checksum than ``sha256``, if that is given.
    """
    flags = cv2.IMREAD_COLOR if oriented else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    if not data:
        raise ImageError(f"{path}: the file is empty; copy or download it again")
    if data.startswith(b"\xff\xd8") and not _jpeg_is_whole(data):
        raise ImageError(
            f"{path}: a truncated JPEG, its end is missing; copy or download it again"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # more than 2^30 pixels, which OpenCV refuses to allocate
        raise ImageError(f"{path}: OpenCV refuses the picture ({error.err})") from error
    if image is None:
        raise ImageError(
            f"{path}: not a picture, or a damaged one; JPEG, PNG, TIFF, BMP and WebP are read"
        )
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise ChangedImageError(f"{path}: another picture than the one that was prepared")
    return image


def reduced(image):
    """``image`` (H, W, 3) uint8 itself, or scaled down to :data:`ENOUGH` pixels if it has more."""
    scale = (ENOUGH / (image.shape[0] * image.shape[1])) ** 0.5
    if scale >= 1:
        return image
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def write_image(path, image, *parameters):
    """Write an image, uint8 (H, W) or BGR (H, W, 3), atomically, in the format of its ending.

    ``parameters`` are those of ``cv2.imencode``, a name and a value in turn.
    """
    # OpenCV's own writing crashes on a path that is not UTF-8
    _, content = cv2.imencode(path.suffix, image, parameters)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.tobytes())


def write_png(path, image):
    """Write an image, uint8 (H, W) or BGR (H, W, 3), atomically; light compression, for speed."""
    write_image(path, image, cv2.IMWRITE_PNG_COMPRESSION, 1)


def _jpeg_is_whole(data):
    """Say whether the image in JPEG ``data`` (bytes) comes to an end.

    OpenCV fills the missing part of a truncated JPEG with grey and says nothing. The end marker
    cannot occur within the compressed pixels, but it does in a thumbnail in the header, so the
    header's segments are stepped over first.
    """
    position = 2
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        marker = data[position + 1]
        if marker == 0xDA:  # start of scan: pixels follow
            break
        if marker == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) >= 0
