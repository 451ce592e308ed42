"""The published sizes of RefCOCO, RefCOCO+ and RefCOCOg, and a check of files against them."""

from typing import NamedTuple


class Count(NamedTuple):
    """How many refs (described regions), images and expressions a split has; None if not known."""

    refs: int
    images: int
    expressions: int | None = None


Counts = dict[str, Count]

SOURCES = (
    "refs and images: TensorFlow Datasets, ref_coco (tensorflow.org/datasets/catalog/ref_coco)",
    "expressions: FlagEval's description of RefCOCO (flageval.baai.ac.cn)",
)
"""Where the ``PUBLISHED`` counts are stated."""

PUBLISHED: dict[str, Counts] = {
    "refcoco (unc)": {
        "train": Count(42404, 16994, 120624), "val": Count(3811, 1500, 10834),
        "testA": Count(1975, 750, 5657), "testB": Count(1810, 750, 5095),
    },
    "refcoco (google)": {
        "train": Count(40000, 19213), "val": Count(5000, 4559), "test": Count(5000, 4527),
    },
    "refcoco+ (unc)": {
        "train": Count(42278, 16992), "val": Count(3805, 1500),
        "testA": Count(1975, 750), "testB": Count(1798, 750),
    },
    "refcocog (umd)": {
        "train": Count(42226, 21899), "val": Count(2573, 1300), "test": Count(5023, 2600),
    },
    "refcocog (google)": {"train": Count(44822, 24698), "val": Count(5000, 4650)},
}
"""The counts of each data set and way of splitting; of RefClef none was found."""


def is_published(benchmark: str, counts: Counts) -> bool:
    """Say whether ``counts`` are those that were published of ``benchmark``."""
    published = PUBLISHED.get(benchmark)
    return published is not None and published.keys() == counts.keys() and all(
        known is None or known == found
        for split in counts for known, found in zip(published[split], counts[split])
    )


def describe_counts(benchmark: str, counts: Counts) -> list[str]:
    """Lay out ``counts`` beside the published ones as lines of text, with a verdict."""
    published = PUBLISHED.get(benchmark, {})
    lines = [f"{'split':8}" + "".join(f"{name:>13}{'published':>11}" for name in Count._fields)]
    for split in dict.fromkeys([*published, *counts]):
        pairs = zip(counts.get(split, Count(0, 0, 0)), published.get(split, Count(None, None)))
        lines.append(f"{split:8}" + "".join(
            f"{found:13,}{'-' if known is None else format(known, ','):>11}"
            for found, known in pairs
        ))
    if is_published(benchmark, counts):
        return [*lines, "the counts are the published ones", *SOURCES]
    if not published:
        return [*lines, f"no published counts of {benchmark} are known here"]
    return [*lines, f"these are not the published counts of {benchmark}: the files are others, or "
                    "not whole", *SOURCES]
