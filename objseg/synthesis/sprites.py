"""Drawn things of the embedded data set: house, tree, car, boat, person, ball, balloon, umbrella.

Each is painted on a :class:`objseg.synthesis.canvas.Canvas`. Colours are BGR, 0 to 255.
"""

import numpy as np

from objseg.synthesis.canvas import Canvas, shade, smooth_noise

COLOURS = {
    "red": (42, 40, 205),
    "yellow": (50, 205, 240),
    "green": (62, 150, 52),
    "blue": (200, 95, 35),
    "purple": (165, 55, 130),
    "white": (240, 240, 238),
    "black": (44, 42, 42),
}
LEAVES = {"green": (52, 128, 62), "yellow": (45, 170, 215), "red": (45, 60, 175)}
_GLASS, _TYRE, _WOOD, _SKIN = (150, 120, 90), (38, 36, 36), (55, 85, 125), (140, 175, 225)


def paint_house(canvas, colour):
    """Front wall with door and windows, a side wall in shade, a tiled roof, a chimney."""
    rng = canvas.rng
    split = rng.uniform(0.6, 0.68)
    eaves = rng.uniform(0.4, 0.46)
    roof = [(60, 70, 120), (75, 75, 80), (60, 90, 150), (95, 75, 60)][rng.integers(4)]
    front_is_lit = canvas.side < 0
    front, flank = shade(colour, 1.05 if front_is_lit else 0.84), shade(colour, 0.72)
    if not front_is_lit:
        flank = shade(colour, 1.05)
    canvas.rectangle(0.66, 0.05, 0.75, 0.3, shade(_WOOD, 0.9))
    canvas.rectangle(0.645, 0.03, 0.765, 0.075, shade(_WOOD, 0.7))
    canvas.polygon([(0.04, eaves), (split / 2, 0.1), (split, eaves), (split, 1), (0.04, 1)],
                   front)
    canvas.polygon([(split, eaves), (0.96, eaves), (0.96, 0.96), (split, 1)], flank)
    ridge = np.array([(split / 2, 0.05), (0.74, 0.1)])
    gutter = np.array([(split + 0.01, eaves + 0.03), (1, eaves + 0.03)])
    canvas.polygon([*ridge, *gutter[::-1]], roof if front_is_lit else shade(roof, 1.15))
    for row in np.linspace(0.2, 0.9, 6):  # tiles
        canvas.line(ridge + row * (gutter - ridge), shade(roof, 0.8), 0.008)
    canvas.line([(0.0, eaves + 0.03), (split / 2, 0.06), (split + 0.01, eaves + 0.03)],
                shade(roof, 0.75), 0.035)
    frame = (225, 230, 232) if sum(colour) < 600 else (95, 110, 130)
    door = [(45, 60, 95), (60, 45, 40), (50, 80, 50)][rng.integers(3)]
    middle = split * rng.uniform(0.45, 0.55)
    canvas.rectangle(middle - 0.065, 0.7, middle + 0.065, 1, frame)
    canvas.rectangle(middle - 0.05, 0.72, middle + 0.05, 1, door)
    for left, top, right, bottom in (
        (0.1, 0.5, 0.24, 0.66), (split - 0.18, 0.5, split - 0.05, 0.66),
        (split + 0.09, 0.53, split + 0.24, 0.74), (split / 2 - 0.05, 0.24, split / 2 + 0.05, 0.36),
    ):
        canvas.rectangle(left - 0.015, top - 0.015, right + 0.015, bottom + 0.02, frame)
        canvas.rectangle(left, top, right, bottom, _GLASS)
        canvas.polygon([(left, top), (right, top), (left, bottom)], shade(_GLASS, 1.25))
        canvas.line([((left + right) / 2, top), ((left + right) / 2, bottom)], frame, 0.01)
    if rng.random() < 0.5:
        canvas.multiply(1 - 0.06 * (np.sin(canvas.grid()[1] * 120) > 0.6))  # boards


def paint_tree(canvas, colour):
    """A stout trunk under a crown, brighter towards the light: leaf clusters, or a conifer."""
    rng, side = canvas.rng, canvas.side
    bark = (48, 70, 98)
    canvas.polygon([(0.42, 0.55), (0.58, 0.55), (0.57, 0.9), (0.64, 1), (0.36, 1), (0.43, 0.9)],
                   bark)
    canvas.polygon([(0.5 - 0.02 * side, 0.55), (0.5 - 0.08 * side, 0.55), (0.5 - 0.07 * side, 0.9),
                    (0.5 - 0.14 * side, 1), (0.5, 1)], shade(bark, 0.7))
    if rng.random() < 0.3:
        _paint_conifer(canvas, colour)
        return
    canvas.ellipse(0.5, 0.38, 0.36, 0.3, shade(colour, 0.62))
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):  # an uneven outline
        size = rng.uniform(0.11, 0.15)
        canvas.ellipse(0.5 + 0.32 * np.cos(angle), 0.37 + 0.24 * np.sin(angle), size, size * 0.85,
                       shade(colour, 0.66))
    for step in np.linspace(0, 1, 60):  # clusters, the dark ones first
        angle, distance = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        size = rng.uniform(0.05, 0.085) * (1.15 - 0.4 * step)
        canvas.ellipse(0.5 + 0.33 * distance * np.cos(angle) + 0.06 * side * step,
                       0.38 + 0.25 * distance * np.sin(angle) - 0.07 * step, size, size * 0.8,
                       shade(colour, 0.68 + 0.5 * step + rng.uniform(-0.06, 0.06)))


def _paint_conifer(canvas, colour):
    """Three tiers of branches with a ragged hem."""
    for top, bottom, reach in ((0.42, 0.86, 0.46), (0.22, 0.64, 0.38), (0.02, 0.42, 0.27)):
        aside = np.linspace(-reach, reach, 13)
        hem = bottom + 0.03 * (np.arange(13) % 2) - 0.05 * np.abs(aside / reach)
        canvas.polygon([(0.5, top), *zip(0.5 + aside, hem)], shade(colour, 0.7))
        lit = canvas.side * aside > -0.1 * reach
        canvas.polygon([(0.5, top), *zip(0.5 + aside[lit], hem[lit] - 0.02)], colour)
    height, width = canvas.alpha.shape
    canvas.multiply(1 + 0.25 * smooth_noise(canvas.rng, height, width, (30, 12), 2))


def paint_car(canvas, colour):
    """A saloon from the side, driving left or right."""
    forward = canvas.rng.random() < 0.5

    def fill(points, tone):
        canvas.polygon([(x if forward else 1 - x, y) for x, y in points], tone)

    fill([(0.01, 0.62), (0.03, 0.46), (0.17, 0.4), (0.29, 0.09), (0.36, 0.04), (0.6, 0.04),
          (0.67, 0.1), (0.79, 0.4), (0.95, 0.48), (0.99, 0.6), (0.985, 0.8), (0.02, 0.8)], colour)
    fill([(0.01, 0.62), (0.99, 0.62), (0.985, 0.82), (0.02, 0.82)], shade(colour, 0.75))
    fill([(0.03, 0.45), (0.17, 0.395), (0.8, 0.4), (0.95, 0.48), (0.95, 0.51), (0.03, 0.5)],
         shade(colour, 1.3))
    fill([(0.32, 0.06), (0.36, 0.035), (0.6, 0.035), (0.65, 0.07)], shade(colour, 1.3))
    glass = (120, 95, 70)
    for left, top_left, top_right, right in ((0.23, 0.325, 0.46, 0.46), (0.5, 0.5, 0.62, 0.73)):
        fill([(left, 0.39), (top_left, 0.13), (top_right, 0.13), (right, 0.39)], glass)
        fill([(left + 0.06, 0.39), (top_left + 0.06, 0.13), (top_left + 0.1, 0.13),
              (left + 0.12, 0.39)], shade(glass, 1.4))
    fill([(0.476, 0.12), (0.484, 0.12), (0.484, 0.78), (0.476, 0.78)], shade(colour, 0.6))
    fill([(0.52, 0.49), (0.58, 0.49), (0.58, 0.52), (0.52, 0.52)], shade(colour, 0.5))
    fill([(0.93, 0.5), (0.99, 0.56), (0.98, 0.63), (0.93, 0.61)], (190, 240, 250))
    fill([(0.02, 0.5), (0.06, 0.5), (0.06, 0.6), (0.015, 0.6)], (40, 40, 190))
    canvas.rectangle(0.02, 0.78, 0.98, 0.84, (60, 58, 56))
    tall = canvas.width / canvas.height
    for x in (0.21, 0.78) if forward else (0.79, 0.22):
        axle = 1 - 0.09 * tall
        canvas.ellipse(x, axle - 0.03, 0.106, 0.106 * tall, shade(colour, 0.4))
        for radius, tone in ((0.09, _TYRE), (0.05, (190, 188, 185)), (0.02, (95, 92, 90))):
            canvas.ellipse(x, axle, radius, radius * tall, tone)


def paint_boat(canvas, colour):
    """A sailing boat with sails and hull of the colour."""
    side = canvas.side
    hull = shade(colour, 0.85)
    canvas.line([(0.47, 0.02), (0.47, 0.8)], (70, 100, 130), 0.025)
    canvas.polygon([(0.44, 0.05), (0.4, 0.35), (0.27, 0.7), (0.1, 0.72), (0.25, 0.45)],
                   shade(colour, 1.08 if side < 0 else 0.85))
    canvas.polygon([(0.5, 0.03), (0.68, 0.25), (0.84, 0.5), (0.92, 0.7), (0.5, 0.7)],
                   shade(colour, 1.08 if side > 0 else 0.88))
    for y in (0.25, 0.4, 0.55):  # seams
        canvas.line([(0.5, y), (0.52 + 0.42 * y, y)], shade(colour, 0.8), 0.006)
    bottom = [(0.84, 0.98), (0.78, 1), (0.2, 1), (0.14, 0.97)]
    canvas.polygon([(0.01, 0.74), (0.99, 0.74), *bottom], hull)
    canvas.polygon([(0.09, 0.9), (0.91, 0.9), *bottom], shade(hull, 0.6))
    canvas.polygon([(0.01, 0.74), (0.99, 0.74), (0.965, 0.79), (0.03, 0.79)], (225, 230, 235))
    canvas.rectangle(0.52, 0.66, 0.75, 0.745, (235, 238, 240))
    for x in (0.57, 0.65):
        canvas.rectangle(x, 0.685, x + 0.045, 0.72, _GLASS)


def paint_person(canvas, colour):
    """Somebody standing, in a shirt (and cap) of the colour."""
    rng = canvas.rng
    trousers = [(95, 70, 50), (60, 60, 62), (90, 110, 130)][rng.integers(3)]
    skin = shade(_SKIN, rng.uniform(0.55, 1.05))
    arm = rng.uniform(0.0, 0.06)
    canvas.polygon([(0.22, 0.55), (0.49, 0.55), (0.47, 0.97), (0.26, 0.97)], trousers)
    canvas.polygon([(0.51, 0.55), (0.78, 0.55), (0.74, 0.97), (0.53, 0.97)], shade(trousers, 0.85))
    canvas.ellipse(0.34, 0.98, 0.15, 0.025, (40, 40, 45))
    canvas.ellipse(0.66, 0.98, 0.15, 0.025, (40, 40, 45))
    for sign in (-1, 1):
        canvas.line([(0.5 + sign * 0.33, 0.3), (0.5 + sign * (0.36 + arm), 0.55)], skin, 0.15)
        canvas.line([(0.5 + sign * 0.3, 0.27), (0.5 + sign * (0.36 + arm / 2), 0.43)],
                    shade(colour, 0.9), 0.2)
    canvas.polygon([(0.2, 0.24), (0.4, 0.2), (0.6, 0.2), (0.8, 0.24), (0.8, 0.6), (0.2, 0.6)],
                   colour)
    inner, outer = 0.5 - 0.08 * canvas.side, 0.5 - 0.3 * canvas.side
    canvas.polygon([(inner, 0.22), (outer, 0.25), (outer, 0.6), (inner, 0.6)], shade(colour, 0.82))
    canvas.rectangle(0.42, 0.16, 0.58, 0.22, shade(skin, 0.85))
    radius = 0.2
    tall = radius * canvas.width / canvas.height
    canvas.ellipse(0.5, 0.11, radius, tall * 1.15, skin)
    hair = [(35, 45, 60), (40, 75, 120), (30, 30, 32)][rng.integers(3)]
    canvas.ellipse(0.5, 0.095, radius * 1.08, tall * 1.15, hair, 180, 360)


def _round_light(canvas, x, y, radius_x, radius_y):
    """Light a ball or balloon as a round body."""
    grid_x, grid_y = canvas.grid()
    distance = ((grid_x - x - canvas.side * 0.3 * radius_x) / radius_x) ** 2
    distance = distance + ((grid_y - y + 0.35 * radius_y) / radius_y) ** 2
    canvas.multiply(np.clip(1.22 - 0.28 * distance, 0.5, 1.3))


def paint_ball(canvas, colour):
    """A beach ball or a plain ball with a band."""
    rng = canvas.rng
    pale = (235, 238, 240) if sum(colour) < 650 else (200, 195, 185)
    canvas.ellipse(0.5, 0.5, 0.5, 0.5, colour)
    if rng.random() < 0.5:
        for reach in (0.34, 0.1):
            centre = 0.5 + (0.5 - reach) * 0.1
            canvas.ellipse(centre, 0.5, reach, 0.5, pale if reach > 0.2 else colour)
            canvas.ellipse(centre, 0.5, reach * 0.72, 0.5, colour)
    else:
        canvas.polygon([(0.01, 0.42), (0.99, 0.42), (0.99, 0.55), (0.01, 0.55)], pale)
        outside = np.hypot(canvas.grid()[0] - 0.5, canvas.grid()[1] - 0.5) > 0.5
        canvas.alpha[outside], canvas.colour[outside] = 0, 0
    _round_light(canvas, 0.5, 0.5, 0.5, 0.5)
    canvas.ellipse(0.5 + canvas.side * 0.17, 0.25, 0.09, 0.06, shade(colour, 1.75))


def paint_balloon(canvas, colour):
    """A hot-air balloon with its basket."""
    canvas.line([(0.3, 0.66), (0.42, 0.9)], (70, 80, 95), 0.012)
    canvas.line([(0.7, 0.66), (0.58, 0.9)], (70, 80, 95), 0.012)
    canvas.ellipse(0.5, 0.4, 0.5, 0.4, colour)
    canvas.polygon([(0.06, 0.55), (0.94, 0.55), (0.62, 0.83), (0.38, 0.83)], colour)
    for reach, tone in ((0.36, 0.8), (0.22, 1.0), (0.08, 0.8)):
        gore = shade(colour, tone)
        canvas.ellipse(0.5, 0.4, reach, 0.4, gore)
        canvas.polygon([(0.5 - reach * 0.95, 0.52), (0.5 + reach * 0.95, 0.52),
                        (0.5 + reach * 0.25, 0.83), (0.5 - reach * 0.25, 0.83)], gore)
    _round_light(canvas, 0.5, 0.4, 0.55, 0.5)
    canvas.rectangle(0.4, 0.88, 0.6, 1, (60, 100, 150))
    canvas.rectangle(0.39, 0.87, 0.61, 0.9, (50, 75, 110))


def paint_umbrella(canvas, colour):
    """A beach umbrella: panels of the colour, every other one paler, over a pole."""
    canvas.rectangle(0.48, 0.4, 0.52, 1, (200, 205, 210))
    canvas.ellipse(0.5, 0.6, 0.5, 0.54, colour, 180, 360)
    pale = 1.45 if sum(colour) < 650 else 0.84  # next to white the panels are grey
    for reach, tone in ((0.34, pale), (0.19, 1.0), (0.06, pale)):
        canvas.ellipse(0.5, 0.6, reach, 0.54, shade(colour, tone), 180, 360)
    for x in np.linspace(0.1, 0.9, 5):
        canvas.ellipse(x, 0.6, 0.1, 0.05, shade(colour, 0.75), 180, 360)
    grid_x, grid_y = canvas.grid()
    light = 1.1 + 0.25 * canvas.side * (grid_x - 0.5) - 0.35 * (grid_y - 0.2)
    canvas.multiply(np.clip(light, 0.6, 1.2))
    canvas.ellipse(0.5, 0.05, 0.02, 0.03, (200, 205, 210))


PAINTERS = {
    "house": paint_house, "tree": paint_tree, "car": paint_car, "boat": paint_boat,
    "person": paint_person, "ball": paint_ball, "balloon": paint_balloon,
    "umbrella": paint_umbrella,
}


def paint_sprite(kind, colour, width, height, rng, side):
    """Paint one thing.

    ``kind`` is a key of PAINTERS, ``colour`` of COLOURS (of LEAVES for a tree), ``width`` and
    ``height`` pixels, ``side`` where the light comes from (-1 left, +1 right). Returns the colour,
    float32 BGR (H, W, 3), 0 to 255, and the alpha, float32 (H, W), 0 to 1.
    """
    canvas = Canvas(width, height, rng, side)
    base = np.add((LEAVES if kind == "tree" else COLOURS)[colour], rng.uniform(-8, 8, 3))
    PAINTERS[kind](canvas, shade(base, rng.uniform(0.92, 1.06)))
    return canvas.finish()
