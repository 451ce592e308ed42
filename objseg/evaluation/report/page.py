"""report.html: one file that needs no other and no script."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from objseg.evaluation import table2
from objseg.evaluation.report.claims import claims
from objseg.evaluation.report.gallery import Section
from objseg.evaluation.report.results import EXPLANATIONS, HEADINGS
from objseg.evaluation.report.text import summary, tallies
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
    write_text(out / "report.html", templates.get_template("page.html").render(
        outcome=outcome, summary=summary(outcome), headings=list(HEADINGS.values()),
        explanations=EXPLANATIONS, tallies=tallies(outcome),
        claims=claims, timing=timing(out / "timing.json"),
        sections=sections,
    ))


def timing(path: Path) -> str:
    """Return Table 2 in plain text from the file ``path`` of tools/time_referit.py.

    A missing file gives "", one that is not understood a note that says so.
    """
    try:
        return "\n".join(table2.table(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as error:
        return (
            f"{path.name} was left out, since it is not as tools/time_referit.py writes it "
            f"({type(error).__name__}: {error})."
        )
