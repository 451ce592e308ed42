"""The splits of a data set by name."""

from collections.abc import Iterable


def named_splits(parts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the splits that can be asked for, and which ``parts`` of the index make each of them.

    There are always train, val, trainval and test, the last of all parts whose names begin so. A
    part "testA" makes a split testA as well, and "testAB" is a part of the splits testA and testB.
    """
    tests = [part for part in dict.fromkeys(parts) if part.startswith("test")]
    letters = sorted({letter for part in tests for letter in part.removeprefix("test")})
    return {
        "train": ("train",), "val": ("val",), "trainval": ("train", "val"),
        "test": tuple(tests or ("test",)),
        **{f"test{letter}": tuple(part for part in tests if letter in part.removeprefix("test"))
           for letter in letters},
    }
