"""report.html: one file that needs no other and no script."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from objseg.evaluation import table2
from objseg.evaluation.evaluate import Evaluation
from objseg.evaluation.report.claims import claims
from objseg.evaluation.report.gallery import Section
from objseg.evaluation.report.results import BOX_HEADING, EXPLANATIONS, HEADINGS
from objseg.evaluation.report.text import noted_data, paper_cells, summary, tallies, verdict
from objseg.files import write_text
from objseg.metrics import TENTHS
from objseg.plots import precision_curve


def write_page(
    out: Path, outcome: dict, evaluations: list[Evaluation], sections: list[Section]
) -> None:
    """Write report.html into the folder ``out``, with Table 2 if timing.json is there.

    ``outcome`` is what :func:`objseg.evaluation.report.results.results` returns, ``sections`` what
    :func:`objseg.evaluation.report.gallery.gallery` does.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    templates.filters["percent"] = "{:.2%}".format
    lines = [(evaluation.method.title, evaluation.ious) for evaluation in evaluations]
    points = [
        method["paper"][: len(TENTHS)] if method["paper"] else None for method in outcome["methods"]
    ]
    timing, timing_note = read_timing(out / "timing.json")
    write_text(out / "report.html", templates.get_template("page.html").render(
        title=f"Segmentation from natural language expressions: {outcome['data']}, "
              f"{outcome['split']} split",
        outcome=outcome, summary=summary(outcome), headings=[*HEADINGS.values(), BOX_HEADING],
        explanations=EXPLANATIONS, shows_paper=any(points), paper_cells=paper_cells,
        tallies=tallies(outcome), claims=claims(outcome), verdict=verdict, timing=timing,
        timing_note=timing_note, curve=precision_curve(lines, points), sections=sections,
        facts=_facts(outcome),
    ))


def read_timing(path: Path) -> tuple[list[tuple], str]:
    """Return rows of Table 2, those of :func:`objseg.evaluation.table2.rows`, and a note on them.

    ``path`` is what tools/time_referit.py writes. A missing file gives no rows and no note, one
    that is not understood no rows and a note that says so.
    """
    try:
        timing = json.loads(path.read_text(encoding="utf-8"))
        return table2.rows(timing), (
            f"Median over {timing['samples']:,} images of {noted_data(timing)}, {timing['split']} "
            f"split, each with one expression and with all of its expressions; size "
            f"{timing['size']}, on {timing['device']}. Small figures: quartiles over images."
        )
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [], (
            f"{path.name} was left out, since it is not as tools/time_referit.py writes it "
            f"({type(error).__name__}: {error})."
        )


def _facts(outcome):
    """List what was run and with what, as pairs of a name and a text."""
    facts = [
        ("command", outcome["command"]), ("data", outcome["directory"]),
        ("data set", f"sha256 {outcome['methods'][0]['identity']['data set']}"),
    ]
    weights = {}
    for method in outcome["methods"]:
        if method["weights"]:
            file = f"{method['weights']}, sha256 {method['identity']['weights']}"
            weights.setdefault(file, []).append(method["method"])
        if method["identity"]["compat_authors"]:
            facts.append((method["method"], "mapped to the image in the way of the authors' code"))
    facts += [(f"weights of {', '.join(names)}", file) for file, names in weights.items()]
    versions = ", ".join(f"{name} {number}" for name, number in outcome["versions"].items())
    return [*facts, ("versions", versions)]
