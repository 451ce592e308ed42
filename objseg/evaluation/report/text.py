"""The results in plain text, for a terminal."""

from objseg.evaluation.report.claims import claims
from objseg.evaluation.report.results import HEADINGS
from objseg.metrics import NAMES


def terminal(outcome: dict) -> str:
    """Format the results, the dict of :mod:`objseg.evaluation.report.results`, as lines of text."""
    lines = [summary(outcome), "", *table(outcome)]
    notes = tallies(outcome)
    if notes:
        lines += ["", *notes]
    if outcome["unavailable"]:
        lines += ["", f"not evaluated (the report says why): {', '.join(outcome['unavailable'])}"]
    lines += conclusions(outcome)
    for source in outcome["sources"]:
        lines += ["", f"Of these, from {source['data']}: {source['samples']} samples", ""]
        lines += [*table(source), *conclusions(source)]
    return "\n".join(lines)


def conclusions(outcome: dict) -> list[str]:
    """List the paper's conclusions that can be checked, below a heading, or nothing."""
    checked = claims(outcome)
    return checked and ["", "What the paper concludes, on this data:", *(
        f"  {'holds' if holds else 'does not hold':<15}{claim}: {figures}"
        for claim, holds, figures in checked
    )]


def summary(outcome: dict) -> str:
    """Return a line: which data, and how many samples were scored."""
    limit = f", limited to the first {outcome['limit']}" if outcome["limit"] else ""
    return (f"data {noted_data(outcome)}, split {outcome['split']}{limit}: {outcome['samples']} "
            "samples scored")


def noted_data(outcome: dict) -> str:
    """Name the data set of an outcome, with the notes on it (see About) in brackets."""
    notes = f" ({', '.join(outcome['notes'])})" if outcome["notes"] else ""
    return outcome["data"] + notes


def table(outcome: dict) -> list[str]:
    """Return lines of text in Table 1's form, the paper's row under ours where it applies.

    Below are published results on the same samples.
    """
    rows = [["method", *HEADINGS.values()]]
    for method in outcome["methods"]:
        rows.append([method["title"], *(f"{method['metrics'][name]:.2%}" for name in NAMES)])
        if method["paper"]:
            rows.append(["  paper", *(f"{value:.2f}%" for value in method["paper"])])
    for row in outcome["published"]:
        rows.append([f"published: {row['title']}",
                     *("-" if value is None else f"{value:.2f}%" for value in row["figures"])])
    width = max(len(row[0]) for row in rows)
    return [
        (f"{row[0]:<{width}}" + "".join(f"{cell:>13}" for cell in row[1:])).rstrip()
        for row in rows
    ]


def tallies(outcome: dict) -> list[str]:
    """List the exceptions by method, one line each, such as "SCRC grabcut: empty result 12"."""
    return [
        f"{method['title']}: "
        + ", ".join(f"{what} {count:,}" for what, count in sorted(method["tally"].items()) if count)
        for method in outcome["methods"] if any(method["tally"].values())
    ]
