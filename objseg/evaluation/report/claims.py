"""The paper's conclusions from its Table 1, checked against the measured values."""

from objseg.evaluation.report.results import HEADINGS
from objseg.methods.table1 import METHODS

STAGES = ("highres", "lowres")
BASELINES = tuple(name for name in METHODS if name not in ("whole-image", *STAGES))
"""Rows that the paper's models are compared with; it calls the whole image trivial (4.1)."""

CLAIMS = (
    ("highres", ("lowres",), "overall_iou"),
    ("lowres", BASELINES, "overall_iou"),
    ("highres", BASELINES, "overall_iou"),
    ("highres", BASELINES, "precision@0.5"),
    ("per-word-average", ("per-word-intersection", "per-word-union"), "overall_iou"),
    ("per-word-average", ("scrc-bbox", "grounder-bbox"), "overall_iou"),
    ("scrc-grabcut", ("scrc-bbox",), "precision@0.5"),
    ("grounder-grabcut", ("grounder-bbox",), "precision@0.5"),
    ("mcg-classification", ("scrc-bbox", "grounder-bbox"), "precision@0.5"),
)
"""The comparisons in the text of section 4.2: (row, the rows below it, metric in which it is above
each of them)."""


def claims(outcome: dict) -> list[tuple[str, bool, str]]:
    """Check the ``CLAIMS`` whose rows were evaluated; ``outcome`` is that of
    :mod:`objseg.evaluation.report.results`.

    Returns a list of (claim in words, whether it holds, the figures in words). Of a claim about
    several rows, those that were evaluated count. A tie does not hold.
    """
    rows = {method["method"]: method for method in outcome["methods"]}
    checked = []
    for better, worse, metric in CLAIMS:
        others = [rows[name] for name in worse if name in rows]
        if better not in rows or not others:
            continue
        best = max(others, key=lambda row: row["metrics"][metric])
        ours, theirs = (row["metrics"][metric] for row in (rows[better], best))
        titles = [row["title"] for row in others]
        against = " and ".join(titles) if len(titles) < 3 else f"each of {len(titles)} baselines"
        checked.append((
            f"{rows[better]['title']} has a higher {HEADINGS[metric]} than {against}",
            ours > theirs,
            f"{ours:.2%} against {theirs:.2%}"
            + (f" ({best['title']})" if len(others) > 1 else ""),
        ))
    return checked
