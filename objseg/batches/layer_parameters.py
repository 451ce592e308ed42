"""Check what a Python layer is given: its ``param_str``, its bottoms and its tops."""

import json

from objseg.errors import UserError


def read(layer, bottom, top, counts=(1, 1), required=(), **defaults) -> dict:
    """Read the parameters of a Python ``layer`` in its setup.

    ``param_str`` is JSON; ``required`` are the keys that must be there, ``defaults`` the others
    with their values. Returns a dict with every key. Raises UserError, naming the layer, on text
    that is not a JSON object, on a missing or unknown key, and unless there are as many bottoms and
    tops as ``counts`` says.
    """
    name, text = type(layer).__name__, layer.param_str
    try:
        given = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"{name}: param_str is not JSON ({error}): {text!r}") from error
    if not isinstance(given, dict):
        raise UserError(f"{name}: param_str must be a JSON object, found {text!r}")
    problems = [f"{key!r} is missing" for key in required if key not in given]
    problems += [f"{key!r} is unknown" for key in given if key not in {*required, *defaults}]
    if problems:
        known = ", ".join([*required, *defaults]) or "nothing"
        raise UserError(f"{name}: param_str: {', '.join(problems)}; it takes {known}")
    for kind, blobs, count in zip(("bottoms", "tops"), (bottom, top), counts):
        if len(blobs) != count:
            raise UserError(f"{name}: {len(blobs)} {kind}, expected {count}")
    return {**defaults, **given}


def check_maps(layer, blob) -> None:
    """Raise UserError unless the bottom ``blob`` of a Python ``layer`` is (N, C, H, W)."""
    shape = tuple(blob.shape)
    if len(shape) != 4:
        raise UserError(f"{type(layer).__name__}: bottom of shape {shape}, expected (N, C, H, W)")
