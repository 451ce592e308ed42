"""Pictures for people: masks over photographs, and the precision curve."""

import base64
import io
import itertools

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from objseg.metrics import TENTHS

FILL_BGR = (60, 60, 235)
"""Colour of a predicted region."""

TRUTH_BGR = (205, 130, 30)
"""Colour of a true region that is shown by itself."""

BOX_BGR = (20, 138, 238)
"""Colour of a predicted box."""

COLOURS = ("#8a8f98", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Line colours that people with any colour vision can tell apart."""


def overlay(image, mask=None, truth=None, box=None, region=None):
    """Draw masks, bool (H, W), on ``image``, BGR uint8 (H, W, 3); returns a new image.

    A prediction is tinted where ``mask`` is, or framed as a ``box``. The outline of ``truth`` is
    white with a dark rim, to be seen on any picture; ``region`` is a true region to be tinted.
    """
    result = image.copy()
    width = max(1, round(max(image.shape[:2]) / 400))
    for filled, colour in ((region, TRUTH_BGR), (mask, FILL_BGR)):
        if filled is not None:
            levels = np.arange(256)[:, None]
            tint = (0.5 * levels + 0.5 * np.array(colour)).astype(np.uint8)  # (256, 3)
            tinted = cv2.LUT(image, tint[None].transpose(1, 0, 2))
            cv2.copyTo(tinted, filled.astype(np.uint8), result)
            _outline(result, filled, colour, width)
    if truth is not None:
        _outline(result, truth, (30, 30, 30), 3 * width)
        _outline(result, truth, (255, 255, 255), width)
    if box is not None:
        _outline(result, box, BOX_BGR, 2 * width)
    return result


def _outline(image, mask, colour, width):
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(image, contours, -1, colour, width, cv2.LINE_AA)


def thumbnail(image, masks, side):
    """Shrink ``image`` and bool ``masks`` so that no side exceeds ``side`` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    shape = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
    return (
        cv2.resize(image, shape, interpolation=cv2.INTER_AREA),
        [cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST).astype(bool)
         for mask in masks],
    )


def data_uri(image):
    """A BGR image as a JPEG that can stand in a page in place of a file's address."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def precision_curve(lines, points):
    """Draw the share of samples that reach an IoU, over the IoU; returns an SVG element (str).

    ``lines`` is a list of (label, IoUs of all samples); ``points`` has for each line the paper's
    precision@0.5 ... @0.9 in percent, or None.
    """
    thresholds = np.linspace(0, 1, 201)
    figure = Figure(figsize=(10.4, 3.8))
    FigureCanvasSVG(figure)
    axes = figure.add_axes([0.06, 0.13, 0.7, 0.83])
    colours = itertools.cycle(COLOURS)
    for n, (colour, (label, ious), paper) in enumerate(zip(colours, lines, points)):
        passing = 1 - np.searchsorted(np.sort(ious), thresholds - 1e-12) / len(ious)
        dashed = n // len(COLOURS) % 2
        axes.plot(
            thresholds, 100 * passing, "--" if dashed else "-", color=colour, linewidth=2,
            label=label,
        )
        if paper is not None:
            axes.plot(np.array(TENTHS) / 10, paper, "o", color=colour, markerfacecolor="white")
    if any(points):
        axes.plot([], [], "o", color=COLOURS[0], markerfacecolor="white", label="the paper's")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 100)
    axes.set_xticks(np.arange(0, 1.01, 0.1))
    axes.set_xlabel("IoU threshold")
    axes.set_ylabel("samples that pass, %")
    axes.grid(color="#e6e8eb")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    text = io.StringIO()
    style = {"svg.fonttype": "none", "svg.hashsalt": "precision", "font.family": "sans-serif"}
    with matplotlib.rc_context(style):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg"):]
