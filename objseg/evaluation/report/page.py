"""report.html: one file that needs no other and no script."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from objseg.evaluation import table2
from objseg.evaluation.report.claims import claims
from objseg.evaluation.report.gallery import Section
from objseg.evaluation.report.results import BOX_HEADING, EXPLANATIONS, HEADINGS
from objseg.evaluation.report.text import noted_data, paper_cells, summary, tallies, verdict
from objseg.files import write_text


def write_page(out: Path, outcome: dict, sections: list[Section]) -> None:
    """Write report.html into the folder ``out``, with Table 2 if timing.json is there.

    ``outcome`` is what :func:`objseg.evaluation.report.results.results` returns, ``sections`` what
    :func:`objseg.evaluation.report.gallery.gallery` does.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    templates.filters["percent"] = "{:.2%}".format
    timing, timing_note = read_timing(out / "timing.json")
    write_text(out / "report.html", templates.get_template("page.html").render(
        outcome=outcome, summary=summary(outcome), headings=[*HEADINGS.values(), BOX_HEADING],
        explanations=EXPLANATIONS, paper_cells=paper_cells, tallies=tallies(outcome),
        claims=claims(outcome), verdict=verdict, timing=timing, timing_note=timing_note,
        sections=sections,
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
