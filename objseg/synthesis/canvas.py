"""The canvas on which the things of the embedded data set are painted, and what textures them.

A sprite is painted three times as large as it will appear, in coordinates from (0, 0), upper left,
to (1, 1), lower right, lit from one side, and then reduced, which smooths every edge. Colours are
BGR, 0 to 255.
"""

import cv2
import numpy as np

SUPERSAMPLING = 3


def shade(colour, factor):
    """A BGR colour made darker (``factor`` below 1) or mixed with white (above 1, up to 2)."""
    colour = np.asarray(colour, np.float64)
    mixed = colour * factor if factor <= 1 else colour + (255 - colour) * (factor - 1)
    return tuple(float(value) for value in np.clip(mixed, 0, 255))


def smooth_noise(rng, height, width, cell, octaves=3):
    """Smooth random noise, float32 (height, width), about -1 to 1.

    ``cell`` is the size in pixels of the coarsest bumps, a number or (vertical, horizontal); every
    further octave is twice as fine and half as strong.
    """
    vertical, horizontal = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(height / vertical * 2 ** octave) + 2)
        columns = max(2, round(width / horizontal * 2 ** octave) + 2)
        grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2 ** octave
    return total / 1.4


class Canvas:
    """A sprite being painted: ``width`` x ``height`` pixels when finished, light from ``side``.

    ``side`` is -1 for light from the left, +1 for light from the right.
    """

    def __init__(self, width, height, rng, side):
        self.width, self.height, self.rng, self.side = width, height, rng, side
        shape = (height * SUPERSAMPLING, width * SUPERSAMPLING)
        self.colour = np.zeros((*shape, 3), np.uint8)
        self.alpha = np.zeros(shape, np.uint8)
        self.scale = np.array([shape[1], shape[0]], np.float64)

    def _both(self, draw, colour):
        draw(self.colour, colour)
        draw(self.alpha, 255)

    def polygon(self, points, colour):
        """Fill the polygon through ``points``, (n, 2)."""
        corners = np.round(np.asarray(points, np.float64) * self.scale).astype(np.int32)
        self._both(lambda image, value: cv2.fillPoly(image, [corners], value), colour)

    def rectangle(self, left, top, right, bottom, colour):
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x, y, radius_x, radius_y, colour, start=0, end=360):
        """Fill an ellipse, or its sector from ``start`` to ``end`` degrees, clockwise from east."""
        centre = tuple(int(v) for v in np.round(np.array([x, y]) * self.scale))
        axes = tuple(max(1, int(v)) for v in np.round(np.array([radius_x, radius_y]) * self.scale))
        self._both(
            lambda image, value: cv2.ellipse(image, centre, axes, 0, start, end, value, -1), colour
        )

    def line(self, points, colour, thickness):
        """Draw an open line through ``points``; ``thickness`` is a fraction of the width."""
        corners = np.round(np.asarray(points, np.float64) * self.scale).astype(np.int32)
        pixels = max(1, round(thickness * self.scale[0]))
        self._both(
            lambda image, value: cv2.polylines(image, [corners], False, value, pixels), colour
        )

    def multiply(self, factors):
        """Lighten or darken the painted pixels by ``factors``, broadcast to (H, W)."""
        lit = self.colour * np.asarray(factors, np.float32)[..., None]
        self.colour = np.clip(lit, 0, 255).astype(np.uint8)

    def grid(self):
        """Coordinates of the pixels, two float32 arrays, (1, W) and (H, 1), from 0 to 1."""
        height, width = self.alpha.shape
        x = (np.arange(width, dtype=np.float32) + 0.5) / width
        y = (np.arange(height, dtype=np.float32) + 0.5) / height
        return x[None, :], y[:, None]

    def finish(self, texture=0.05):
        """Reduce; return the colour, float32 (H, W, 3), and the alpha, float32 (H, W), 0 to 1."""
        size = (self.width, self.height)
        painted = cv2.resize(self.colour, size, interpolation=cv2.INTER_AREA)  # black outside
        alpha = cv2.resize(self.alpha, size, interpolation=cv2.INTER_AREA) / np.float32(255)
        colour = painted / np.maximum(alpha, 1e-3)[..., None]
        grain = 1 + texture * smooth_noise(self.rng, self.height, self.width, 12)
        sideways = np.linspace(-1, 1, self.width, dtype=np.float32) * self.side
        return np.clip(colour * (grain * (1 + 0.12 * sideways))[..., None], 0, 255), alpha
