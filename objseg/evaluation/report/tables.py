"""The tables of the page, as HTML: Table 1, what the paper concludes, Table 2, lengths."""

import json
from html import escape

from objseg.evaluation.report.claims import claims
from objseg.evaluation.report.results import HEADINGS
from objseg.evaluation.report.text import BOX_HEADING, paper_cells, verdict


def results_table(outcome):
    """Table 1, the paper's row under ours where it applies."""
    rows = [_heading("method", *HEADINGS.values(), BOX_HEADING)]
    for method in outcome["methods"]:
        cells = [
            f"{method['metrics'][name]:.2%}<small>{100 * low:.1f}–{100 * high:.1f}</small>"
            for name, (low, high) in method["intervals"].items()
        ]
        rows.append(_row(escape(method["title"]), *cells, f"{method['box_accuracy']:.2%}"))
        if method["paper"]:
            rows.append(_row("paper", *paper_cells(method), kind="muted"))
    return _table(rows)


def claims_table(outcome):
    """Tabulate the paper's conclusions and whether they hold here; "" without a row to compare."""
    rows = [
        _row(escape(claim), verdict(holds), escape(figures), kind="holds" if holds else "fails")
        for claim, holds, figures in claims(outcome)
    ]
    if not rows:
        return ""
    return _table([_heading("the paper's conclusion", "on this data", "figures"), *rows], "words")


def timing_table(path):
    """Table 2 and a note on it from timing.json, which tools/time_referit.py writes: (html, note).

    ``path`` may not exist: (None, ""). A file that is not understood gives None and says so.
    """
    try:
        timing = json.loads(path.read_text(encoding="utf-8"))
        rows = [_heading("method", "alone", "sharing the image's features", "paper (K40 GPU)")]
        for method in timing["methods"]:
            seconds = [
                f"{measured['median']:.3f}<small>{measured['low']:.3f}–{measured['high']:.3f}"
                "</small>"
                for measured in (method["alone"], method["shared"])
            ]
            paper = "–" if method["paper"] is None else f"{method['paper']:.3f}"
            rows.append(_row(escape(method["title"]), *seconds, paper))
        note = (
            f"Median over {timing['samples']:,} images of {timing['data']}, {timing['split']} "
            f"split, each with one expression and with all of its expressions; size "
            f"{timing['size']}, on {timing['device']}. Small figures: quartiles over images."
        )
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, (
            f"{path.name} was left out, since it is not as tools/time_referit.py writes it "
            f"({type(error).__name__}: {error})."
        )
    return _table(rows), note


def lengths_table(outcome):
    """Precision@0.5 and overall IoU by the number of words of the expression."""
    first = outcome["methods"][0]["by_length"]
    rows = [
        _heading("words", *first),
        _row("samples", *(f"{part['samples']:,}" for part in first.values()), kind="muted"),
    ]
    for method in outcome["methods"]:
        cells = (
            f"{part['precision@0.5']:.2%}<small>{part['overall_iou']:.2%}</small>"
            for part in method["by_length"].values()
        )
        rows.append(_row(escape(method["title"]), *cells))
    return _table(rows)


def _heading(*cells):
    return "<tr>" + "".join(f"<th>{cell}" for cell in cells)


def _row(*cells, kind=None):
    start = f'<tr class="{kind}">' if kind else "<tr>"
    return start + "".join(f"<td>{cell}" for cell in cells)


def _table(rows, kind="numbers"):
    return f'<table class="{kind}">\n' + "\n".join(rows) + "\n</table>"
