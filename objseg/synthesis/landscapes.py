"""Landscapes of the embedded data set: sky, hills or mountains, water, ground, road.

The textures are procedural noise. A texture is painted for a strip of the frame, the rows from
``first`` to the bottom or to ``last``, as float32 BGR, (rows, W, 3), 0 to 255.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from objseg.synthesis.canvas import smooth_noise

STUFF = ("sky", "hills", "mountains", "grass", "sand", "snow", "road", "water")
GROUNDS = {  # far colour, near colour, strength of the texture
    "grass": ((92, 168, 128), (48, 128, 82), 0.2),
    "sand": ((165, 205, 228), (128, 180, 212), 0.07),
    "snow": ((246, 240, 234), (238, 226, 216), 0.05),
    "road": ((128, 124, 120), (104, 100, 98), 0.06),
}
SKIES = {  # colour at the top, at the horizon, of the clouds; tint of all that the sky lights
    "blue": ((205, 130, 62), (240, 215, 180), (250, 248, 246), (1.0, 1.0, 1.0)),
    "orange": ((125, 84, 88), (105, 172, 246), (160, 160, 236), (0.88, 0.93, 1.03)),
    "grey": ((160, 150, 142), (212, 208, 204), (232, 230, 228), (0.95, 0.93, 0.92)),
}
_LAYOUTS = {  # how often, and how often hills rise behind it
    "meadow": (0.26, 0.75), "lake": (0.26, 0.85), "beach": (0.22, 0.25), "street": (0.26, 0.6),
}


@dataclass
class Landscape:
    """The parts of a landscape.

    ``sky`` is a key of SKIES, ``ground`` of GROUNDS, ``hills`` "hills", "mountains" or None. The
    rows of the ``horizon``, of the ``shore`` (None without water) and of the ``road``'s edges (None
    without one) are shares of the height. ``side``: light from the left (-1) or right (+1).
    """

    sky: str
    ground: str
    hills: str | None
    horizon: float
    shore: float | None
    road: tuple | None
    side: int


def choose_landscape(rng):
    """A Landscape at random."""
    often = np.array([share for share, _ in _LAYOUTS.values()])
    layout = str(rng.choice(list(_LAYOUTS), p=often))
    ground = "sand" if layout == "beach" else str(rng.choice(
        ["grass", "snow", "sand"], p=[0.75, 0.25, 0] if layout == "street" else [0.6, 0.25, 0.15]))
    hills = None
    if rng.random() < _LAYOUTS[layout][1]:
        hills = "mountains" if ground == "snow" else str(rng.choice(["hills", "mountains"]))
    return Landscape(
        sky=str(rng.choice(list(SKIES), p=[0.55, 0.2, 0.25])), ground=ground, hills=hills,
        horizon=rng.uniform(0.36, 0.48),
        shore=rng.uniform(0.66, 0.74) if layout in ("lake", "beach") else None,
        road=(rng.uniform(0.62, 0.67), rng.uniform(0.88, 1.02)) if layout == "street" else None,
        side=int(rng.choice([-1, 1])),
    )


def blend(under, over, alpha):
    """``over`` on ``under`` with ``alpha``, (H, W) or (H, 1), 0 to 1; colours broadcast."""
    return under + (np.asarray(over, np.float32) - under) * alpha[..., None]


def paint_landscape(rng, width, height, plan):
    """Paint the Landscape ``plan``.

    Returns the picture, float32 BGR (H, W, 3), before the tint of its sky; labels, int8 (H, W); and
    the kinds of stuff that the labels count, the sky first.
    """
    horizon = plan.horizon * height
    rows = np.arange(height, dtype=np.float32)[:, None]
    below = int(horizon)
    picture = np.zeros((height, width, 3), np.float32)
    picture[:below + 20] = _sky(rng, below + 20, width, horizon, plan)
    labels = np.zeros((height, width), np.int8)
    kinds = ["sky"]

    def lay(kind, first, strip, alpha):
        last = first + len(strip)
        picture[first:last] = blend(picture[first:last], strip, alpha)
        labels[first:last][np.broadcast_to(alpha > 0.5, (len(strip), width))] = len(kinds)
        kinds.append(kind)

    if plan.hills:
        rise = rng.uniform(*((0.2, 0.3) if plan.hills == "mountains" else (0.14, 0.22))) * height
        first = max(int(horizon - 1.2 * rise), 0)
        strip, alpha = _hills(rng, first, below + 20, width, horizon, rise, plan)
        lay(plan.hills, first, strip, alpha)
    edge, first = _wavy(rng, width, horizon, 0.008 * height), below - 4
    if plan.shore:
        shore = plan.shore * height
        strip = _water(rng, below, int(shore + 0.04 * height), width, horizon, plan)
        lay("water", below, strip, np.clip(rows[below:below + len(strip)] - horizon + 0.5, 0, 1))
        edge, first = _wavy(rng, width, shore, 0.02 * height), int(shore - 0.03 * height)
    ground = _ground(rng, first, height, width, horizon, plan.ground)
    if plan.shore:  # foam, then the wet edge of the ground
        foam = 0.7 * np.exp(-((rows[first:] - edge + 3) / 2.2) ** 2)
        picture[first:] = blend(picture[first:], (245, 245, 240), foam)
        ground *= (1 - 0.22 * np.exp(-np.maximum(rows[first:] - edge, 0) / 7))[..., None]
    lay(plan.ground, first, ground, np.clip(rows[first:] - edge + 0.5, 0, 1))
    if plan.road:
        top, bottom = (share * height for share in plan.road)
        first = int(top)
        strip = _ground(rng, first, height, width, horizon, "road")
        _mark_road(rng, strip, top - first, bottom - first)
        inside = np.minimum(rows[first:] - top, bottom - rows[first:])
        lay("road", first, strip, np.clip(inside + 0.5, 0, 1))
    return picture, labels, kinds


def _gradient(top, bottom, start, end, rows):
    """A column of colours, (rows, 1, 3): ``top`` at the row ``start``, ``bottom`` at ``end``."""
    t = np.clip((np.asarray(rows, np.float32) - start) / max(end - start, 1), 0, 1)[:, None, None]
    return np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t


def _wavy(rng, width, row, amplitude):
    """A gently curved line at about ``row``: float32 (1, W)."""
    values = rng.uniform(-1, 1, (1, 6)).astype(np.float32)
    return row + amplitude * cv2.resize(values, (width, 1), interpolation=cv2.INTER_CUBIC)


def _sky(rng, height, width, horizon, plan):
    top, bottom, cloud, _ = SKIES[plan.sky]
    picture = np.repeat(_gradient(top, bottom, 0, horizon, np.arange(height)), width, axis=1)
    if plan.sky != "grey" and rng.random() < 0.7:  # the sun
        x = width * (0.5 + plan.side * rng.uniform(0.2, 0.45))
        y = horizon * rng.uniform(0.15, 0.6)
        distance = np.hypot(np.arange(width, dtype=np.float32)[None, :] - x,
                            np.arange(height, dtype=np.float32)[:, None] - y)
        radius = 0.035 * width
        glow = 0.5 * np.exp(-distance / (4 * radius)) + np.clip(radius - distance + 0.5, 0, 1)
        picture = blend(picture, (205, 245, 255), np.minimum(glow, 1))
    cover = rng.uniform(-0.1, 0.45) if plan.sky == "grey" else rng.uniform(-0.45, 0.15)
    bumps = smooth_noise(rng, height, width, (0.32 * horizon, 0.34 * width), 4)
    lit = np.clip(1 + 0.5 * (bumps - np.roll(bumps, 6, axis=0)), 0.82, 1.04)
    picture = blend(picture, np.asarray(cloud, np.float32) * lit[..., None],
                    np.clip((bumps + cover) * 2.2, 0, 0.9))
    if rng.random() < 0.3:
        _birds(rng, picture, horizon)
    return picture


def _birds(rng, picture, horizon):
    x, y = rng.uniform(0.1, 0.9) * picture.shape[1], rng.uniform(0.2, 0.6) * horizon
    for _ in range(rng.integers(2, 6)):
        span = rng.uniform(4, 8)
        wings = [(-1, -0.35), (-0.45, -0.55), (0, 0), (0.45, -0.55), (1, -0.35)]
        points = np.array([x, y]) + rng.normal(0, 18, 2) + span * np.array(wings)
        cv2.polylines(picture, [np.round(points * 8).astype(np.int32)], False, (70, 62, 58), 1,
                      cv2.LINE_AA, 3)


def _ridge(rng, width, base, rise, roughness):
    """A ridge line: float32 (W,), rows, from ``base`` to ``rise`` above it."""
    total = np.zeros(width, np.float32)
    flavour = cv2.INTER_LINEAR if roughness > 0.5 else cv2.INTER_CUBIC
    for octave in range(6):
        values = rng.uniform(0, 1, (1, 3 * 2 ** octave + 1)).astype(np.float32)
        total += cv2.resize(values, (width, 1), interpolation=flavour)[0] * roughness ** octave
    total = (total - total.min()) / max(float(np.ptp(total)), 1e-6)
    return base - rise * (0.25 + 0.75 * total)


def _hills(rng, first, last, width, horizon, rise, plan):
    """Round green hills or rugged mountains with snow, in ridges: strip and alpha."""
    rugged = plan.hills == "mountains"
    haze = np.asarray(SKIES[plan.sky][1], np.float32)
    height = last - first
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    strip = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    layers = 2 if rugged else 3
    for layer in range(layers):
        near = (layer + 1) / layers
        line = _ridge(rng, width, horizon + 2, rise * (1.15 - 0.55 * near),
                      0.56 if rugged else 0.3)[None, :]
        inside = np.clip(rows - line + 0.5, 0, 1)
        if rugged:
            relief = smooth_noise(rng, height, width, (46, 34), 5)
            flank = (np.roll(relief, 2, axis=1) - np.roll(relief, -2, axis=1)
                     + 0.5 * (np.roll(relief, -2, axis=0) - relief))
            light = 1 + 0.3 * np.tanh(2.6 * plan.side * flank)
            body = np.array((132, 116, 106), np.float32) * light[..., None]
            snow = np.clip((line.min() + 0.5 * rise - rows + 20 * relief) / 5, 0, 1)
            white = np.array((252, 245, 240), np.float32) * (0.22 + 0.78 * light)[..., None]
            body = blend(body, np.minimum(white, 252), snow * 0.93)
        else:
            woods = smooth_noise(rng, height, width, (14, 30), 4)
            tone = (1.05 - 0.15 * layer) * (1 + 0.22 * woods - 0.15 * np.minimum(
                np.maximum(rows - line, 0) / 90, 1))
            body = np.array((72, 118, 84), np.float32) * tone[..., None]
        mist = 0.6 * (1 - near) + 0.12 + 0.2 * np.clip(1 - (horizon - rows) / (0.5 * rise), 0, 1)
        body = blend(body, haze, mist)
        strip = blend(strip, body, inside)
        alpha = np.maximum(alpha, inside)
    return strip, alpha


def _in_perspective(texture, first, last, width, horizon, near):
    """Lay a texture on the plane below ``horizon``; ``near`` texels a pixel 200 rows below it."""
    rows = np.maximum(np.arange(first, last, dtype=np.float32) - horizon, 1.5)[:, None]
    depth = 200 / rows
    columns = np.arange(width, dtype=np.float32)[None, :] - width / 2
    map_x = (columns * depth * near + 7000) % texture.shape[1]
    map_y = np.repeat((depth * 160 * near) % texture.shape[0], width, axis=1)
    return cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _ground(rng, first, height, width, horizon, kind):
    far, near, strength = GROUNDS[kind]
    rows = height - first
    column = _gradient(far, near, horizon, height, np.arange(first, height))
    strip = np.repeat(column, width, axis=1)
    broad = smooth_noise(rng, rows, width, (30, 0.3 * width), 2)
    grain = _in_perspective(smooth_noise(rng, 256, 256, 24, 4), first, height, width, horizon, 0.9)
    strip *= (1 + strength * (0.45 * broad + 0.8 * grain))[..., None]
    if kind == "grass":
        _blades(rng, strip, (first - horizon) / (height - horizon), near)
    return strip


def _blades(rng, strip, start, colour):
    """Blades of grass and a few flowers, larger to the front; ``start``: depth of the first row."""
    rows, width = strip.shape[:2]
    t = start + (1 - start) * rng.uniform(0, 1, 500) ** 0.7
    x, y = rng.uniform(0, width, 500), (t - start) / (1 - start) * rows
    tips = np.stack([x + rng.uniform(-1, 1, 500) * (0.5 + 2.5 * t), y - 1 - 5 * t], 1)
    for foot, tip, tone in zip(np.stack([x, y], 1).astype(int).tolist(), tips.astype(int).tolist(),
                               rng.uniform(0.75, 1.35, 500)):
        cv2.line(strip, tuple(foot), tuple(tip), [tone * value for value in colour], 1, cv2.LINE_AA)
    petals = [(240, 240, 245), (90, 215, 245), (170, 130, 235)][rng.integers(3)]
    for place, depth in zip(rng.uniform(0, 1, (rng.integers(0, 40), 2)), rng.uniform(0, 1, 40)):
        centre = (int(place[0] * width), int(place[1] * rows))
        cv2.circle(strip, centre, 1 + int(1.2 * depth * place[1]), petals, -1, cv2.LINE_AA)


def _mark_road(rng, strip, top, bottom):
    width, middle = strip.shape[1], int((top + bottom) / 2)
    dash = (np.arange(width) + rng.integers(90)) % 90 < 52
    strip[middle - 2:middle + 2, dash] = (200, 220, 225)
    for line in (int(top + 4), int(bottom - 6)):
        strip[line:line + 3] = (205, 205, 200)


def _water(rng, first, last, width, horizon, plan):
    """Water that mirrors the sky, with ripples in perspective."""
    top, bottom, _, _ = (np.asarray(colour, np.float32) for colour in SKIES[plan.sky])
    deep, light = top * 0.62 + (52, 38, 8), bottom * 0.55 + (70, 50, 20)
    end = last + 0.4 * (last - first)
    strip = np.repeat(_gradient(light, deep, horizon, end, np.arange(first, last)), width, axis=1)
    ripples = _in_perspective(smooth_noise(rng, 512, 128, (14, 40), 3), first, last, width,
                              horizon - 6, 0.8)
    strip *= (1 + 0.16 * ripples)[..., None]
    return blend(strip, bottom, np.clip(ripples - 0.55, 0, 1) * 0.9)
