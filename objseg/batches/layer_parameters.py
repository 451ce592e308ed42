"""The ``param_str`` of a Python layer: JSON, checked against what the layer understands."""

import json

from objseg.errors import UserError


def parse(layer, param_str, required=(), **defaults):
    """Read a layer's parameters.

    ``layer`` is its name for messages, ``required`` the keys that must be there, ``defaults`` the
    others with their values. Returns a dict with every key. Raises UserError on text that is not
    a JSON object, on a missing key and on an unknown one.
    """
    try:
        given = json.loads(param_str or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"{layer}: param_str is not JSON ({error}): {param_str!r}") from error
    if not isinstance(given, dict):
        raise UserError(f"{layer}: param_str must be a JSON object, found {param_str!r}")
    missing = sorted(set(required) - set(given))
    unknown = sorted(set(given) - set(required) - set(defaults))
    if missing or unknown:
        problems = [f"{key!r} is missing" for key in missing]
        problems += [f"{key!r} is unknown" for key in unknown]
        known = ", ".join([*required, *defaults])
        raise UserError(
            f"{layer}: param_str: {', '.join(problems)}; it takes {known or 'nothing'}"
        )
    return {**defaults, **given}


def check_maps(layer, blob):
    """Raise UserError unless the bottom ``blob`` is (N, C, H, W)."""
    if len(blob.shape) != 4:
        raise UserError(
            f"{layer}: bottom of shape {tuple(blob.shape)}, expected (N, C, H, W)"
        )


def check_count(layer, kind, blobs, expected):
    """Raise UserError unless a layer has ``expected`` bottoms or tops (``kind`` names which)."""
    if len(blobs) != expected:
        raise UserError(f"{layer}: {len(blobs)} {kind}, expected {expected}")
