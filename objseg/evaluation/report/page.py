"""report.html: one file that needs no other and no script."""

from html import escape
from pathlib import Path
from string import Template

from objseg.evaluation.report.tables import claims_table, lengths_table, results_table, timing_table
from objseg.evaluation.report.text import summary, tallies
from objseg.files import write_text
from objseg.metrics import TENTHS
from objseg.plots import precision_curve

PAGE = Path(__file__).with_name("page.html")


def write_page(out, outcome, evaluations, sections):
    """Write report.html into the folder ``out``, with Table 2 if timing.json is there.

    ``outcome`` is the dict of :mod:`objseg.evaluation.report.results`, ``sections`` the list of
    :mod:`objseg.evaluation.report.gallery`.
    """
    split = f"{outcome['data']}, {outcome['split']} split"
    lines = [(evaluation.method.title, evaluation.ious) for evaluation in evaluations]
    points = [
        method["paper"][: len(TENTHS)] if method["paper"] else None for method in outcome["methods"]
    ]
    text = Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Segmentation from natural language expressions: {split}"),
        badge=" ".join(f'<span class="badge">{escape(note)}</span>' for note in outcome["notes"]),
        summary=escape(summary(outcome)),
        table=results_table(outcome),
        notes=_notes(outcome, shows_paper=any(points)),
        claims=_panel("What the paper concludes", claims_table(outcome)),
        timing=_panel("Table 2: seconds per expression", *timing_table(out / "timing.json")),
        curve=precision_curve(lines, points),
        lengths=lengths_table(outcome),
        gallery="\n".join(map(_section, sections)),
        facts=_facts(outcome),
    )
    write_text(out / "report.html", text)


def _panel(title, content, note=""):
    """A titled part of the page; nothing where there is neither content nor a note."""
    if not content and not note:
        return ""
    panel = f'<div class="panel">{content}</div>\n' if content else ""
    return f"<h2>{title}</h2>\n{panel}" + (f'<p class="note">{escape(note)}</p>' if note else "")


def _notes(outcome, shows_paper):
    intervals = "Small figures: 95 % bootstrap intervals over images."
    paper = (
        " The paper's rows are those of its Table 1; box@0.5 in them is what the papers on SCRC "
        "and GroundeR report."
    )
    lines = [intervals + paper * shows_paper, *tallies(outcome)]
    return f'<p class="note">{"<br>".join(map(escape, lines))}</p>'


def _section(section):
    parts = [f"<h2>{escape(section.title)}</h2>", f'<p class="note">{escape(section.note)}</p>']
    for heading, pictures in section.rows:
        if heading:
            parts.append(f"<h3>{escape(heading)}</h3>")
        figures = "".join(
            f'<figure><img src="{picture.uri}" alt=""><figcaption>{escape(picture.text)}'
            f"<small>{escape(picture.note)}</small></figcaption></figure>"
            for picture in pictures
        )
        parts.append(f'<div class="row" style="--columns: {max(4, len(pictures))}">{figures}</div>')
    return "\n".join(parts)


def _facts(outcome):
    facts = [("command", outcome["command"]), ("data", outcome["directory"])]
    facts.append(("data set", f"sha256 {outcome['methods'][0]['identity']['data set']}"))
    weights = {}
    for method in outcome["methods"]:
        if method["weights"]:
            weights.setdefault((method["weights"], method["identity"]["weights"]), []).append(
                method["method"]
            )
        if method["identity"]["compat_authors"]:
            facts.append((method["method"], "mapped to the image in the way of the authors' code"))
    facts += [
        (f"weights of {', '.join(names)}", f"{path}, sha256 {checksum}")
        for (path, checksum), names in weights.items()
    ]
    facts += [(f"unreadable {image}", text) for image, text in outcome["unreadable"].items()]
    facts.append(("versions", ", ".join(f"{k} {v}" for k, v in outcome["versions"].items())))
    return "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
