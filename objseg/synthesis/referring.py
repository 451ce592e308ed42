"""Referring expressions for drawn scenes, unambiguous by construction.

A :class:`Phrase` is the meaning of an expression: kind, colour, size, position, relation. What it
denotes in a scene is computed (:func:`denotes`), and a phrase is used for a target only if it
denotes exactly that target. Where a position or relation is a matter of opinion (a car a little
left of the middle) the phrase denotes nothing at all and so is never used.
:mod:`objseg.synthesis.wording` then finds words for it.
"""

from dataclasses import dataclass
from itertools import product
from typing import Optional

import numpy as np

from objseg.synthesis.wording import say

LEAST_AREA = 0.012  # visible share of the picture below which nothing is referred to
_SIDES = ("left", "right")
_CORNERS = ("bottom left", "bottom right", "top left", "top right")
_ORDERS = ("front", "back", "biggest", "smallest")
PLACES = (*_SIDES, "middle", *_CORNERS, *_ORDERS)
RELATIONS = ("behind", "in front of", "next to", "left of", "right of", "above", "on", "under")
_BREVITY = (2.0, 1.5, 0.5)  # weight of a phrase with none, one, both of colour and size


@dataclass(frozen=True)
class Phrase:
    """The meaning of an expression.

    ``kind`` of the things meant; ``colour``, ``size`` ("big", "small"), ``place`` (of PLACES) and
    ``relation`` (of RELATIONS) to the one thing that ``other``, a Phrase, denotes: None where
    nothing is said. ``plural``: several are meant, and all of them.
    """

    kind: str
    colour: str | None = None
    size: str | None = None
    place: str | None = None
    relation: str | None = None
    other: Optional["Phrase"] = None
    plural: bool = False


def denotes(phrase, scene):
    """Indices of the instances of ``scene`` that ``phrase`` means: a frozenset.

    None where that is a matter of opinion, or where the number does not fit the phrase.
    """
    found = [i for i, thing in enumerate(scene.instances)
             if thing.area and thing.kind == phrase.kind
             and phrase.colour in (None, thing.colour) and phrase.size in (None, thing.size)]
    if phrase.relation:
        others = denotes(phrase.other, scene)
        if not others:
            return None
        other, = others
        found = _sure((i, _related(scene, i, phrase.relation, other)) for i in found if i != other)
    if found and phrase.place:
        found = _placed(scene, found, phrase.place, phrase.plural)
    if not found or (len(found) > 1) != phrase.plural:
        return None
    return frozenset(found)


def _sure(judged):
    """The members of (member, True, False or None) pairs; None if one of them is uncertain."""
    judged = list(judged)
    if any(verdict is None for _, verdict in judged):
        return None
    return [member for member, verdict in judged if verdict]


def _between(value, no, yes):
    """True from ``yes`` on, False up to ``no``, None between (either may be the larger)."""
    share = (value - no) / (yes - no)
    return True if share >= 1 else False if share <= 0 else None


def _related(scene, i, relation, j):
    """Whether instance i stands in ``relation`` to instance j: True, False or None (uncertain)."""
    height, width = scene.labels.shape
    this, that = scene.instances[i], scene.instances[j]
    if relation == "on":
        return this.place == that.kind
    if relation == "under":
        return that.place == this.kind and this.kind != "sky"
    if this.is_stuff:
        return _stuff_related(this, relation, that)
    if that.is_stuff:
        return False
    if relation == "behind":
        return _between(scene.hidden[i, j], 0.01, 0.06)
    if relation == "in front of":
        return _between(scene.hidden[j, i], 0.01, 0.06)
    across = (this.centre[0] - that.centre[0]) / width
    if relation == "left of":
        return _between(-across, 0.02, 0.12)
    if relation == "right of":
        return _between(across, 0.02, 0.12)
    gap = (max(this.box[0], that.box[0]) - min(this.box[2], that.box[2])) / width
    if relation == "above":
        clear = (that.box[1] - this.box[3]) / height
        return _between(clear, -0.12, 0) if gap < -0.05 else False
    if (this.place == "sky") != (that.place == "sky"):
        return False
    if scene.hidden[i, j] or scene.hidden[j, i]:  # said as "behind" or "in front of"
        return None
    level = abs(this.base - that.base) / height
    near, even = _between(gap, 0.2, 0.12), _between(level, 0.3, 0.18)
    return False if near is False or even is False else True if near and even else None


def _stuff_related(stuff, relation, that):
    """Whether ``stuff`` lies above or behind ``that``, which follows from the landscape."""
    if relation == "above":
        return stuff.kind == "sky" and that.kind in ("hills", "mountains", "water")
    standing = not that.is_stuff and that.kind not in ("balloon", "boat")
    return relation == "behind" and standing and stuff.kind in ("hills", "mountains", "water")


def _placed(scene, found, place, plural):
    """The members of ``found`` at ``place``, or None where that is uncertain."""
    height, width = scene.labels.shape
    things = [scene.instances[i] for i in found]
    x = np.array([thing.centre[0] for thing in things]) / width
    y = np.array([thing.centre[1] for thing in things]) / height
    if place in _ORDERS:
        if plural or len(found) < 2 or (things[0].place == "sky" and place in ("front", "back")):
            return None
        nearness = np.array([thing.base for thing in things]) / height
        whole = np.log([thing.area / max(1 - scene.hidden[i].sum(), 0.1)  # with its hidden part
                        for i, thing in zip(found, things)])
        return _first(found, *{
            "front": (-nearness, 0.08), "back": (nearness, 0.08),
            "biggest": (-whole, np.log(1.5)), "smallest": (whole, np.log(1.5)),
        }[place])
    if place in _SIDES:
        x = x if place == "left" else 1 - x
        if not plural and len(found) > 1:  # "left car" of two cars: the one further left
            first = _first(found, x, 0.12)
            return first if first and x[found.index(first[0])] < 0.6 else None
        return _sure((i, _between(at, 0.52, 0.42)) for i, at in zip(found, x))
    if place == "middle":
        return _sure((i, _between(abs(at - 0.5), 0.2, 0.1)) for i, at in zip(found, x))
    vertical, horizontal = place.split()
    x = x if horizontal == "left" else 1 - x
    y = y if vertical == "top" else 1 - y
    return _sure((i, _between(max(at, up), 0.52, 0.42)) for i, at, up in zip(found, x, y))


def _first(found, keys, margin):
    """The member with the least key, in a list, or None if the next is within ``margin``."""
    order = np.argsort(keys)
    clear = keys[order[1]] - keys[order[0]] >= margin
    return [found[order[0]]] if clear else None


def phrases_for(target, scene):
    """All phrases of the grammar that denote exactly ``target``, a frozenset of indices."""
    things = [scene.instances[i] for i in target]
    kind, plural = things[0].kind, len(target) > 1
    attributes = product(_shared(thing.colour for thing in things),
                         _shared(thing.size for thing in things))
    rest = [(None, None, None), *((None, *tie) for tie in _ties(target, kind, scene))]
    if not things[0].is_stuff:
        rest += [(place, None, None) for place in PLACES]
    found = []
    for (colour, size), (place, relation, other) in product(attributes, rest):
        phrase = Phrase(kind, colour, size, place, relation, other, plural)
        if not (size and place in ("biggest", "smallest")) and denotes(phrase, scene) == target:
            found.append(phrase)
    return found


def _ties(target, kind, scene):
    """Relations of all of ``target`` to another thing, with the Phrases that denote that thing."""
    for j, other in enumerate(scene.instances):
        if other.kind == kind or not other.area:
            continue
        relations = [relation for relation in RELATIONS
                     if all(_related(scene, i, relation, j) for i in target)]
        references = [Phrase(other.kind)]
        if relations and not other.is_stuff:
            references.append(Phrase(other.kind, other.colour))
        for relation, reference in product(relations, references):
            if denotes(reference, scene) == {j}:
                yield relation, reference


def _shared(values):
    """None, and the value that all have in common if there is one."""
    values = set(values)
    return (None, *values) if len(values) == 1 and None not in values else (None,)


def refer(scene, rng, stuff_share=0.45):
    """Choose regions of ``scene`` and word expressions for them.

    Returns a list of (target, [(phrase, expression), …]): the target is a frozenset of instance
    indices; four to six regions with about six expressions in all, ``stuff_share`` of them about
    stuff. Nothing that shows less than LEAST_AREA of the picture is referred to.
    """
    seen = _large_enough(scene)
    stuff = [frozenset([i]) for i in seen if scene.instances[i].is_stuff]
    things = [frozenset([i]) for i in seen if not scene.instances[i].is_stuff]
    groups = _groups(scene, seen)
    for targets in (stuff, things, groups):
        rng.shuffle(targets)
    about_stuff = 2 + (rng.random() < 6 * stuff_share - 2)
    objects = [*(groups[:1] if rng.random() < 0.4 else ()), *things]
    targets = [*(2 * stuff)[:about_stuff], *(2 * objects)[:6 - about_stuff]]
    regions = {}
    for target in dict.fromkeys(targets):
        phrases = phrases_for(target, scene)
        spoken = {}
        for _ in range(targets.count(target) if phrases else 0):
            phrase = _choose(phrases, rng)
            spoken.setdefault(say(phrase, len(target), rng), phrase)
        if spoken:
            regions[target] = [(phrase, words) for words, phrase in spoken.items()]
    return list(regions.items())


def _large_enough(scene):
    """Indices of the instances that show at least LEAST_AREA of the picture."""
    return [i for i, instance in enumerate(scene.instances)
            if instance.area >= LEAST_AREA * scene.labels.size]


def _groups(scene, seen):
    """Targets of several things: all of a kind, of a kind and colour, or of a kind on one side."""
    groups = set()
    for kind in {scene.instances[i].kind for i in seen if not scene.instances[i].is_stuff}:
        same = [i for i, instance in enumerate(scene.instances) if instance.kind == kind]
        colours = {scene.instances[i].colour for i in same}
        for colour, place in product((None, *sorted(colours)), (None, *_SIDES)):
            target = denotes(Phrase(kind, colour, place=place, plural=True), scene)
            if target and target <= set(seen):
                groups.add(target)
    return sorted(groups, key=sorted)


def _choose(phrases, rng):
    """A phrase at random: first what sort of remark is made, then how much is said besides."""
    sorts = {}
    for phrase in phrases:
        sorts.setdefault((phrase.place, phrase.relation), []).append(phrase)
    weights = [len(sorts) if sort == (None, None) else 1 for sort in sorts]  # half say no more
    phrases = _pick(rng, list(sorts.values()), weights)
    said = [(phrase.colour is not None) + (phrase.size is not None) for phrase in phrases]
    return _pick(rng, phrases, [_BREVITY[count] for count in said])


def _pick(rng, options, weights):
    return options[rng.choice(len(options), p=np.divide(weights, np.sum(weights)))]


def list_attributes(scene):
    """One region for every instance, worded by its attributes alone ("red car", "sky").

    Returns the same as :func:`refer`. These expressions may be ambiguous: they are for learning
    what things look like before learning which one is meant.
    """
    regions = []
    for index in _large_enough(scene):
        instance = scene.instances[index]
        phrase = Phrase(instance.kind, None if instance.is_stuff else instance.colour)
        words = " ".join(filter(None, (phrase.colour, phrase.kind)))
        regions.append((frozenset([index]), [(phrase, words)]))
    return regions
