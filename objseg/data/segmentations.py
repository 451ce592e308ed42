"""Masks in COCO's formats: polygons, and run lengths as numbers or as text."""

from math import isfinite

import numpy as np

from objseg.data.masks import MaskError

FARTHEST = 100_000
"""Largest coordinate of a polygon, in pixels from the corner; pycocotools overflows far beyond."""


def decode(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Return the region of a COCO annotation's ``segmentation`` as bool (``height``, ``width``).

    It is a list of polygons [x, y, x, y …], an object of run lengths (a crowd's), or a list of
    those, as RefClef has. The region is the union; what is outside the picture is cut. The pixels
    of a polygon are those of pycocotools. Raises MaskError for another content.
    """
    if isinstance(segmentation, dict):
        segmentation = [segmentation]
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError(
            f"its segmentation is {_shown(segmentation)}, expected polygons or run lengths"
        )
    mask = np.zeros((height, width), bool)
    for part in segmentation:
        mask |= _runs(part, height, width) if isinstance(part, dict) \
            else _polygon(part, height, width)
    return mask


def _polygon(points: list, height: int, width: int) -> np.ndarray:
    from pycocotools import mask as coco  # only here: prepared data sets are read without it

    # pycocotools fails or returns nothing for faulty polygons
    if not isinstance(points, list) or len(points) % 2 or not all(
            isinstance(number, (int, float)) and isfinite(number) and abs(number) <= FARTHEST
            for number in points):
        raise MaskError(
            f"a polygon is {_shown(points)}, expected points x, y of at most {FARTHEST:,} pixels"
        )
    if len(points) < 6:  # no area; pycocotools takes two points for a box
        return np.zeros((height, width), bool)
    (runs,) = coco.frPyObjects([[float(number) for number in points]], height, width)
    return coco.decode(runs).astype(bool)


def _runs(runs: dict, height: int, width: int) -> np.ndarray:
    """Decode run lengths {"size": [height, width], "counts": list of int or text}.

    They alternate between outside and inside, column by column. pycocotools' own decoding writes
    beyond its memory for damaged text, and returns random pixels where runs are missing.
    """
    counts = runs.get("counts")
    if isinstance(counts, str):
        counts = _numbers(counts)
    if runs.get("size") != [height, width] or not isinstance(counts, list) \
            or not all(type(count) is int and 0 <= count <= height * width for count in counts) \
            or sum(counts) != height * width:
        raise MaskError(
            f"its run lengths are {_shown(runs)}, expected the size [{height}, {width}] and counts "
            f"that add up to {height * width:,}"
        )
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def _numbers(text: str) -> list[int] | None:
    """Decode the numbers of COCO's text; returns None for what it cannot hold.

    A character carries five bits, the lowest first, above 48; its sixth bit says that the number
    goes on. From the fourth number on, what is written is the difference to the one two before.
    """
    numbers, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return None if shift else numbers


def _shown(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
