"""Words for the meaning of an expression, in ReferIt's manner.

Players of the game hurry: "car on the left", "left car", "car left", "car on left, red". The tables
hold words with their weights.
"""

import dataclasses

import numpy as np

from objseg.synthesis.landscapes import STUFF

_NOUNS = {
    "house": {"house": 9, "building": 1}, "tree": {"tree": 1}, "car": {"car": 1},
    "boat": {"boat": 8, "sailboat": 2}, "person": {"person": 6, "man": 3, "guy": 1},
    "ball": {"ball": 1}, "balloon": {"balloon": 8, "hot air balloon": 2},
    "umbrella": {"umbrella": 9, "parasol": 1},
    "sky": {"sky": 1}, "hills": {"hills": 8, "hill": 2},
    "mountains": {"mountains": 7, "mountain": 3},
    "grass": {"grass": 9, "lawn": 1}, "sand": {"sand": 8, "beach": 2}, "snow": {"snow": 1},
    "road": {"road": 8, "street": 2}, "water": {"water": 8, "lake": 1, "sea": 1},
}
_PLURALS = {"person": "people", "man": "men"}
_SIZES = {"big": {"big": 3, "large": 1}, "small": {"small": 3, "little": 1}}
_DRESSED = {" in {}": 3, " in {} shirt": 2, " with the {} shirt": 1}
_PLACES = {
    "middle": {"{} in the middle": 4, "middle {}": 3, "center {}": 1, "{} in center": 1},
    "front": {"{} in front": 3, "front {}": 3, "closest {}": 2},
    "back": {"{} in the back": 3, "back {}": 3, "farthest {}": 1},
    "biggest": {"biggest {}": 4, "largest {}": 2, "the biggest {}": 2},
    "smallest": {"smallest {}": 4, "the smallest {}": 2},
}
_SIDES = {"{0} on the {1}": 4, "{1} {0}": 4, "{0} on {1}": 3, "{0} {1}": 1, "{0}, {1}": 1,
          "{0} on the {1} side": 1, "{0} to the {1}": 1}
_CORNERS = {"{0} {1}": 4, "{1} {0}": 3, "{0} on the {1}": 2, "{0} in the {1} corner": 1}
_RELATIONS = {
    "behind": {"behind": 1}, "in front of": {"in front of": 1},
    "next to": {"next to": 3, "by": 1, "beside": 1, "near": 1},
    "left of": {"left of": 1, "to the left of": 1},
    "right of": {"right of": 1, "to the right of": 1},
    "above": {"above": 3, "over": 1}, "on": {"on": 1}, "under": {"under": 2, "below": 1},
}
_REMARKS = {  # true of stuff in every landscape
    "sky": {"at the top": 2, "up top": 1, "above": 1},
    "hills": {"in the background": 2, "in the distance": 1},
    "mountains": {"in the background": 2, "in the distance": 1},
    "water": {"in the middle": 1, "in the back": 1}, "road": {"across the picture": 1},
    **dict.fromkeys(("grass", "sand", "snow"), {"on the ground": 2, "at the bottom": 1}),
}
_ALL = {"all {}": 1, "all the {}": 1, "the {}": 1}
_BOTH = {"both {}": 3, "the two {}": 1}
_HASTE = {"{}": 90, "just {}": 1, "{} only": 1, "{}.": 2}


def say(phrase, count, rng):
    """Words (str) for ``phrase``, a referring.Phrase that denotes ``count`` things."""
    place = phrase.place
    trailing = ""
    if place and phrase.colour and rng.random() < 0.1:  # "car on left, red"
        trailing = f", {'in ' if phrase.kind == 'person' else ''}{phrase.colour}"
        phrase = dataclasses.replace(phrase, colour=None)
    text = _noun_phrase(phrase, rng)
    if place:
        table = _PLACES.get(place) or (_CORNERS if " " in place else _SIDES)
        if rng.random() < 0.2:
            place = place.replace("bottom", "lower").replace("top", "upper")
        text = _pick(rng, table).format(text, place) + trailing
    elif phrase.plural and rng.random() < 0.75:
        text = _pick(rng, _BOTH if count == 2 and rng.random() < 0.6 else _ALL).format(text)
    if rng.random() < 0.25 and not text.startswith(("the ", "all ", "both ")):
        text = "the " + text
    if phrase.relation:
        relation = _pick(rng, _RELATIONS[phrase.relation])
        if phrase.relation == "on" and phrase.other.kind == "sky":
            relation = "in"
        article = "the " if rng.random() < 0.75 else ""
        text = f"{text} {relation} {article}{_noun_phrase(phrase.other, rng)}"
    elif phrase.kind in STUFF and rng.random() < 0.12:
        text = f"{text} {_pick(rng, _REMARKS[phrase.kind])}"
    text = _pick(rng, _HASTE).format(text)
    return text[0].upper() + text[1:] if rng.random() < 0.06 else text


def _noun_phrase(phrase, rng):
    """Size, colour and noun, in the singular or plural, without an article."""
    noun = _pick(rng, _NOUNS[phrase.kind])
    if phrase.plural:
        noun = _PLURALS.get(noun, noun + "s")
    if phrase.colour and phrase.kind == "person":
        noun += _pick(rng, _DRESSED).format(phrase.colour)
    elif phrase.colour:
        noun = f"{phrase.colour} {noun}"
    return f"{_pick(rng, _SIZES[phrase.size])} {noun}" if phrase.size else noun


def _pick(rng, weighted):
    """A key of the dictionary ``weighted``, whose values are weights."""
    weights = np.array(list(weighted.values()), np.float64)
    return list(weighted)[rng.choice(len(weights), p=weights / weights.sum())]
