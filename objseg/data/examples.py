"""Photographs to try a model on, which come with scikit-image."""

from pathlib import Path

EXAMPLES = {
    "astronaut.png": ["person", "hair"],
    "chelsea.png": ["cat"],
    "coffee.png": ["cup", "table"],
    "rocket.jpg": ["sky"],
}
"""Photographs in the public domain, and expressions for them."""


def example_pictures() -> dict[Path, list[str]]:
    """Return {picture: expressions} of :data:`EXAMPLES`."""
    from skimage import data  # takes time to load

    folder = Path(data.__file__).parent
    return {folder / name: expressions for name, expressions in EXAMPLES.items()}
