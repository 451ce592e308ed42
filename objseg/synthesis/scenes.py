"""Scenes of the embedded data set: a landscape, and two to five things that stand in it.

A scene is a picture together with what it shows: its instances (one for each kind of stuff and one
for each thing), where each is seen, and what hides what. Expressions about it are made in
:mod:`objseg.synthesis.referring`.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from objseg.synthesis.landscapes import SKIES, STUFF, blend, choose_landscape, paint_landscape
from objseg.synthesis.sprites import COLOURS, LEAVES, paint_sprite

# width and height in pixels of a big and of a small one in a 480x360 picture
THINGS = {
    "house": ((168, 150), (104, 92)),
    "tree": ((140, 182), (86, 112)),
    "car": ((190, 88), (120, 56)),
    "boat": ((158, 156), (96, 96)),
    "person": ((72, 164), (50, 112)),
    "ball": ((98, 98), (60, 60)),
    "balloon": ((112, 140), (68, 86)),
    "umbrella": ((158, 136), (98, 84)),
}
_SIZES = ((480, 360), (480, 360), (480, 360), (480, 320), (500, 375), (360, 480))
_MOST_HIDDEN = 0.4  # a thing of which more is hidden is left out of the scene


@dataclass
class Instance:
    """Something seen in a scene.

    ``colour`` and ``size`` ("big" or "small") are None for stuff, ``colour`` of the sky excepted.
    ``place`` is the kind of stuff that a thing stands on, ``base`` the row where it stands.
    ``area`` counts the visible pixels; ``box`` is xmin, ymin, xmax, ymax, inclusive, of these.
    """

    kind: str
    colour: str | None = None
    size: str | None = None
    place: str | None = None
    base: int = 0
    area: int = 0
    box: tuple = (0, 0, 0, 0)

    @property
    def is_stuff(self):
        """Whether this is stuff (sky, grass) and not a thing (car, tree)."""
        return self.kind in STUFF

    @property
    def centre(self):
        """Centre of the visible box, x and y in pixels."""
        xmin, ymin, xmax, ymax = self.box
        return (xmin + xmax) / 2, (ymin + ymax) / 2


@dataclass
class Scene:
    """A drawn scene.

    ``image`` is BGR uint8 (H, W, 3); ``labels``, int8 (H, W), holds for each pixel the index in
    ``instances`` of what is seen there; ``hidden[i, j]``, 0 to 1, is the share of thing i that
    thing j hides.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: list = field(default_factory=list)
    hidden: np.ndarray | None = None

    def mask(self, targets):
        """Visible pixels of the instances with the indices ``targets``: bool (H, W)."""
        chosen = np.zeros(len(self.instances), bool)
        chosen[list(targets)] = True
        return chosen[self.labels]


def _choose_kinds(rng, stuff):
    """Kinds of the things: some come again, so that the kind alone does not tell them apart."""
    likely = {"house": 1.0, "tree": 1.2, "person": 1.0, "ball": 0.9, "balloon": 0.6}
    likely["umbrella"] = 1.5 if "sand" in stuff else 0.35
    likely["car"] = 2.8 if "road" in stuff else 0.5
    if "water" in stuff:
        likely["boat"] = 2.6
    names, weights = list(likely), np.array(list(likely.values()))
    kinds = []
    for _ in range(rng.choice([2, 3, 4, 5], p=[0.12, 0.3, 0.36, 0.22])):
        if kinds and rng.random() < 0.42:
            kinds.append(kinds[rng.integers(len(kinds))])
        else:
            kinds.append(str(rng.choice(names, p=weights / weights.sum())))
    return kinds


def _choose_colour(rng, kind, ground):
    """A colour that suits the kind and stands out against the ground."""
    if kind == "tree":
        return str(rng.choice(list(LEAVES), p=[0.7, 0.17, 0.13]))
    unfit = {"snow": ("white",), "grass": ("green",)}.get(ground, ())
    unfit += ("black",) if kind == "house" else ()
    return str(rng.choice([name for name in COLOURS if name not in unfit]))


@dataclass
class _Thing:
    """A painted thing, the ``left`` and ``top`` of its sprite; a higher ``rank`` is nearer."""

    instance: Instance
    colour: np.ndarray
    alpha: np.ndarray
    left: int
    top: int
    rank: int

    def windows(self, shape):
        """Where sprite and frame meet: slices of the frame, then of the sprite."""
        tall, wide = self.alpha.shape
        top, bottom = max(self.top, 0), min(self.top + tall, shape[0])
        left, right = max(self.left, 0), min(self.left + wide, shape[1])
        frame = slice(top, bottom), slice(left, right)
        return frame, (slice(top - self.top, bottom - self.top),
                       slice(left - self.left, right - self.left))

    def cover(self, shape):
        """Its opaque pixels: bool (H, W)."""
        frame, sprite = self.windows(shape)
        mask = np.zeros(shape, bool)
        mask[frame] = self.alpha[sprite] > 0.5
        return mask

    def paste(self, picture, tint=(1, 1, 1), where=None):
        """Blend it into the float32 picture, tinted, at the pixels of ``where``, bool (H, W)."""
        frame, sprite = self.windows(picture.shape[:2])
        alpha = self.alpha[sprite] if where is None else self.alpha[sprite] * where[frame]
        picture[frame] = blend(picture[frame], self.colour[sprite] * np.float32(tint), alpha)


def _standing_room(kind, size, plan):
    """The kind of stuff that a thing stands on, and the rows (shares of the height) where it may.

    Small ones stand further away than big ones, as perspective has it.
    """
    small = size == "small"
    if kind == "balloon":
        return "sky", ((0.26, 0.4) if small else (0.4, 0.52))
    if kind == "boat":
        near, far = plan.shore, plan.horizon
        return "water", ((far + 0.06, far + 0.16) if small else (near - 0.1, near - 0.02))
    if plan.road:
        top, bottom = plan.road
        middle = (top + bottom) / 2
        if kind == "car":
            return "road", ((top + 0.05, middle) if small else (middle + 0.02, bottom - 0.03))
        if kind in ("person", "ball") and not small and bottom < 0.93:
            return plan.ground, (0.96, 0.99)
        first = plan.horizon + 0.1
        return plan.ground, ((first, top - 0.04) if small else (top - 0.05, top - 0.005))
    first = (plan.shore or plan.horizon) + 0.05
    middle = first + 0.45 * (0.98 - first)
    return plan.ground, ((first, middle) if small else (middle, 0.98))


def _stand(rng, width, height, kinds, plan):
    """Choose, paint and place things so that enough is seen of each: a list, farthest first."""
    unit = min(width, height) / 360
    things = []
    for kind in kinds:
        size = "big" if rng.random() < 0.55 else "small"
        place, (first, last) = _standing_room(kind, size, plan)
        scale = unit * rng.uniform(0.92, 1.1)
        wide, tall = (round(length * scale) for length in THINGS[kind][size == "small"])
        colour = _choose_colour(rng, kind, plan.ground)
        sprite = paint_sprite(kind, colour, wide, tall, rng, plan.side)
        for _ in range(12):
            base = int(rng.uniform(first, last) * height)
            left = int(rng.uniform(-0.08 * wide, width - 0.92 * wide))
            if things and rng.random() < 0.3:  # half behind or in front of another
                other = things[rng.integers(len(things))]
                apart = rng.uniform(0.55, 0.8) * rng.choice([-1, 1])
                left = int(other.left + (other.alpha.shape[1] - wide) / 2
                           + apart * (wide + other.alpha.shape[1]) / 2)
            if not -0.1 * wide <= left <= width - 0.9 * wide:
                continue
            instance = Instance(kind, colour, size, place, base)
            thing = _Thing(instance, *sprite, left, base - tall, -1 if place == "sky" else base)
            if _all_seen([*things, thing], (height, width)):
                things.append(thing)
                break
    return sorted(things, key=lambda thing: thing.rank)


def _all_seen(things, shape):
    """Whether enough is seen of every thing, and it is plain which of two that meet is nearer."""
    ranked = sorted(things, key=lambda thing: thing.rank)
    covers = [thing.cover(shape) for thing in ranked]
    for i, cover in enumerate(covers):
        nearer = np.zeros_like(cover)
        for thing, other in zip(ranked[i + 1:], covers[i + 1:]):
            if thing.rank - ranked[i].rank < 0.02 * shape[0] and (cover & other).any():
                return False
            nearer |= other
        if np.count_nonzero(cover & nearer) > _MOST_HIDDEN * np.count_nonzero(cover):
            return False
    return True


def _cast_shadow(picture, ground, thing, side, strength):
    """Darken the ``ground``, bool (H, W), where the thing's shadow falls, away from the light."""
    height, width = picture.shape[:2]
    tall, wide = thing.alpha.shape
    base, flat, lean = thing.top + tall - 2, 0.28, side * 0.25
    top, bottom = max(int(base - flat * tall) - 8, 0), min(base + 14, height)
    left = max(int(thing.left - abs(lean) * tall) - 8, 0)
    right = min(int(thing.left + wide + abs(lean) * tall) + 8, width)
    # a pixel of the sprite h above its base falls flat * h above the base, and lean * h aside
    matrix = np.float32([[1, lean, thing.left - lean * tall - left],
                         [0, flat, base - flat * tall - top]])
    size = (right - left, bottom - top)
    shadow = cv2.GaussianBlur(cv2.warpAffine(thing.alpha, matrix, size), (0, 0), 2.2)
    foot = np.flatnonzero(thing.alpha[-max(tall // 20, 2):].any(axis=0)) + thing.left - left
    contact = np.zeros_like(shadow)
    cv2.ellipse(contact, (int(foot.mean()), base - top),
                (int(0.5 * np.ptp(foot)) + 3, max(3, wide // 20)), 0, 0, 360, 0.8, -1)
    shadow = np.maximum(shadow, cv2.GaussianBlur(contact, (0, 0), 3))
    window = (slice(top, bottom), slice(left, right))
    picture[window] *= (1 - strength * shadow * ground[window])[..., None]


def _mirror(picture, water, thing):
    """Blend a boat's reflection into the ``water``, bool (H, W), below it."""
    tall, wide = thing.alpha.shape
    size = (wide, int(tall * 0.45))
    colour = cv2.resize(thing.colour[::-1], size, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(thing.alpha[::-1], size, interpolation=cv2.INTER_AREA)
    row = np.arange(size[1], dtype=np.float32)[:, None]
    alpha *= (0.55 - 0.55 * row / size[1]) * (0.75 + 0.25 * np.sin(1.3 * row))
    ghost = _Thing(thing.instance, colour * 0.8, alpha, thing.left, thing.top + tall - 2, 0)
    ghost.paste(picture, where=water)


def draw_scene(rng):
    """Draw a Scene, everything in it chosen with ``rng`` (numpy Generator)."""
    width, height = _SIZES[rng.integers(len(_SIZES))]
    plan = choose_landscape(rng)
    picture, labels, stuff = paint_landscape(rng, width, height, plan)
    tint = np.float32(SKIES[plan.sky][3])
    picture *= tint
    things = []
    while len(things) < 2:  # of a crowded choice less than two may find room
        things = _stand(rng, width, height, _choose_kinds(rng, stuff), plan)
    instances = [Instance(kind, colour=plan.sky if kind == "sky" else None) for kind in stuff]
    hidden = np.zeros((len(stuff) + len(things),) * 2)
    covers = []
    for index, thing in enumerate(things, len(stuff)):
        instance = thing.instance
        around = labels == stuff.index(instance.place)
        if instance.place == "water":
            _mirror(picture, around, thing)
        elif instance.place != "sky":
            _cast_shadow(picture, around, thing, plan.side, 0.2 if plan.sky == "grey" else 0.42)
        thing.paste(picture, tint)
        cover = thing.cover(labels.shape)
        for farther, other in enumerate(covers, len(stuff)):
            hidden[farther, index] = np.count_nonzero(other & cover) / np.count_nonzero(other)
        covers.append(cover)
        labels[cover] = index
        instances.append(instance)
    for index, instance in enumerate(instances):
        seen = labels == index
        instance.area = np.count_nonzero(seen)
        if instance.area:
            columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
            instance.box = tuple(map(int, (columns[0], rows[0], columns[-1], rows[-1])))
    picture += rng.integers(-4, 5, labels.shape, np.int8)[..., None]  # film grain
    return Scene(np.clip(picture, 0, 255).astype(np.uint8), labels, instances, hidden)
