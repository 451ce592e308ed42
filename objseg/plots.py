"""Pictures for people: masks over photographs."""

import base64
import math

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from objseg.data.masks import resize_nearest

PREDICTION_BGR = ((235, 30, 215), (0, 225, 255))
"""Colours of a prediction: magenta and yellow, of which one is far from anything."""

DARK_BGR, LIGHT_BGR = (30, 30, 30), (255, 255, 255)


def overlay(
    image: np.ndarray, mask: np.ndarray | None = None, truth: np.ndarray | None = None
) -> np.ndarray:
    """Draw regions, bool (H, W), on ``image``, BGR uint8 (H, W, 3); returns a new image.

    A predicted ``mask`` is tinted and outlined in a colour that is seen on what is there. The
    outline of ``truth`` is white. All lines have a dark rim.
    """
    result, lines = image.copy(), []
    width = max(1, round(max(image.shape[:2]) / 400))
    if mask is not None:
        colour = contrasting(image, mask)
        tint = (0.5 * np.arange(256)[:, None] + 0.5 * np.array(colour)).astype(np.uint8)  # (256, 3)
        tinted = cv2.LUT(image, tint[None].transpose(1, 0, 2))
        cv2.copyTo(tinted, mask.astype(np.uint8), result)
        lines.append((mask, colour))
    if truth is not None:
        lines.append((truth, LIGHT_BGR))
    for region, colour in lines:
        contours, _ = cv2.findContours(
            region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        )
        for shade, thickness in (DARK_BGR, 3 * width), (colour, width):
            cv2.drawContours(result, contours, -1, shade, thickness, cv2.LINE_AA)
    return result


def contrasting(image: np.ndarray, region: np.ndarray) -> tuple[int, int, int]:
    """Return the one of ``PREDICTION_BGR`` that differs most from the mean colour of a ``region``.

    ``image`` is BGR uint8 (H, W, 3), ``region`` bool (H, W).
    """
    mean = image[region].mean(axis=0) if region.any() else np.zeros(3)
    return max(PREDICTION_BGR, key=lambda colour: np.linalg.norm(mean - colour))


def contact_sheet(
    tiles: list[tuple[str, np.ndarray]], most_columns: int = 4, side: int = 320
) -> np.ndarray:
    """Arrange ``tiles``, pairs of a caption and a BGR image, as one BGR image, row by row.

    No side of an image exceeds ``side`` pixels; its caption is below it, cut to the tile's width.
    """
    columns = min(most_columns, math.ceil(len(tiles) ** 0.5))
    line, gap = side // 12, side // 20
    small = [(caption, thumbnail(image, [], side)[0]) for caption, image in tiles]
    rows = [small[first:first + columns] for first in range(0, len(small), columns)]
    heights = [max(image.shape[0] for _, image in row) for row in rows]
    size = columns * (side + gap) + gap, sum(heights) + len(rows) * (line + gap) + gap
    sheet = Image.new("RGB", size, "white")
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(line * 0.7), gap
    for row, height in zip(rows, heights):
        for number, (caption, image) in enumerate(row):
            x = gap + number * (side + gap)
            left, top = (side - image.shape[1]) // 2, height - image.shape[0]
            sheet.paste(Image.fromarray(image[:, :, ::-1]), (x + left, y + top))
            while len(caption) > 1 and draw.textlength(caption, font) > side:
                caption = caption[:-2] + "…"
            middle = x + side / 2, y + height + line / 2
            draw.text(middle, caption, "black", font, anchor="mm")
        y += height + line + gap
    return np.ascontiguousarray(np.array(sheet)[:, :, ::-1])


def thumbnail(
    image: np.ndarray, masks: list[np.ndarray], side: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Shrink ``image`` and bool ``masks`` so that no side exceeds ``side`` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA),
        [resize_nearest(mask, height, width) for mask in masks],
    )


def data_uri(image: np.ndarray) -> str:
    """Encode a BGR image as a JPEG that a page can hold in place of a file's address."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
