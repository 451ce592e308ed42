"""The counts of a preparation, and their text for people."""

from collections import Counter

from objseg.data.expressions import MAX_WORDS, Vocabulary, tokenize
from objseg.data.raw import Annotations
from objseg.data.splits import named_splits


def summarize(index: dict, source: str, vocabulary: Vocabulary | None, notes: Counter) -> dict:
    """Count what the prepared data set holds and what was left out.

    ``index`` is one still without its summary, ``source`` names where the expressions come from;
    ``notes`` are further counts.
    """
    return {
        "source": source,
        "annotations only": not any("sha256" in entry for entry in index["images"].values()),
        "splits": {name: _count_split(index, parts) for name, parts in _splits(index).items()},
        "notes": {reason: number for reason, number in sorted(notes.items()) if number},
        **_count_words(index, vocabulary),
    }


def count_problems(index: dict, annotations: Annotations) -> Counter:
    """Count, by reason, what was passed over and where the authors' files differ from the masks."""
    notes = annotations.counts.copy()
    notes.update(entry["reason"] for entry in index["skipped"] if "split" in entry)
    for region, entry in index["regions"].items():
        if annotations.boxes.get(region, entry["box"]) != entry["box"]:
            notes["box other than in referit_bbox.json"] += 1
    for image, entry in index["images"].items():
        size = [entry["width"], entry["height"]]
        if annotations.sizes.get(image, size) != size:
            notes["size other than in referit_imsize.json"] += 1
    return notes


def count_shared_pictures(index: dict) -> int:
    """Count the pictures, by content, that more than one split holds."""
    splits = {}
    for entry in index["images"].values():
        if "sha256" in entry:
            splits.setdefault(entry["sha256"], set()).add(entry["split"])
    return sum(len(found) > 1 for found in splits.values())


def expressions_of(index: dict, name: str) -> list[str]:
    """List the expressions of a split, one of :func:`objseg.data.splits.named_splits`."""
    parts = _splits(index)[name]
    return [
        expression
        for region in index["regions"].values()
        if index["images"][region["image"]]["split"] in parts
        for expression in region["expressions"]
    ]


def _splits(index: dict) -> dict[str, tuple[str, ...]]:
    return named_splits(entry["split"] for entry in index["images"].values())


def _count_split(index: dict, parts: tuple[str, ...]) -> dict[str, int]:
    images = {name for name, entry in index["images"].items() if entry["split"] in parts}
    regions = [entry for entry in index["regions"].values() if entry["image"] in images]
    skipped = [entry for entry in index["skipped"] if entry.get("split") in parts]
    return {
        "images": len(images),
        "regions": len(regions),
        "expressions": sum(len(region["expressions"]) for region in regions),
        "skipped images": sum(1 for entry in skipped if entry["what"].startswith("image ")),
        "skipped regions": sum(entry["regions"] for entry in skipped),
        "skipped expressions": sum(entry["expressions"] for entry in skipped),
    }


def _count_words(index: dict, vocabulary: Vocabulary | None) -> dict[str, int]:
    """Count what the language encoder will meet."""
    expressions = expressions_of(index, "trainval") + expressions_of(index, "test")
    tokens = [tokenize(expression) for expression in expressions]
    counts = {
        "longest expression": max(map(len, tokens)),
        f"cut to {MAX_WORDS} tokens": sum(len(t) > MAX_WORDS for t in tokens),
        "without a token": sum(not t for t in tokens),
    }
    if vocabulary is not None:
        test = [t for expression in expressions_of(index, "test") for t in tokenize(expression)]
        counts |= {
            "vocabulary": len(vocabulary),
            "test tokens": len(test),
            "unknown test tokens": sum(token not in vocabulary for token in test),
        }
    return counts


def describe(name: str, summary: dict) -> str:
    """Lay out the counts of the data set ``name`` as text for people."""
    lines = [f"{name}: expressions from {summary['source']}"]
    if summary["annotations only"]:
        lines.append("annotations only: no images and no masks")
    lines.append(f"{'split':10}{'images':>10}{'regions':>10}{'expressions':>13}"
                 f"{'skipped:  images':>20}{'regions':>10}{'expressions':>13}")
    for split_name, count in summary["splits"].items():
        lines.append(
            f"{split_name:10}{count['images']:10,}{count['regions']:10,}{count['expressions']:13,}"
            f"{count['skipped images']:20,}{count['skipped regions']:10,}"
            f"{count['skipped expressions']:13,}"
        )
    lines += [
        f"longest expression: {summary['longest expression']} tokens; cut to {MAX_WORDS}: "
        f"{summary[f'cut to {MAX_WORDS} tokens']}; without a token: {summary['without a token']}",
    ]
    if "vocabulary" in summary:
        lines.append(
            f"vocabulary: {summary['vocabulary']:,} rows; unknown among the "
            f"{summary['test tokens']:,} test tokens: {summary['unknown test tokens']:,}"
        )
    else:
        lines.append("no vocabulary, since no expression is in train or val")
    lines += [f"{reason}: {number:,}" for reason, number in summary["notes"].items()]
    return "\n".join(lines) + "\n"


def list_skipped(index: dict) -> list[str]:
    """List in a line each what was left out, and why."""
    return [
        ": ".join(filter(None, (entry["what"], entry["reason"], entry.get("detail"))))
        for entry in index["skipped"]
    ]
