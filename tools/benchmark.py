"""Measure how fast it is: against PyTorch, OpenCV, the authors' protocol and the machine's peak.

    python tools/benchmark.py --torch-python PATH --document docs/performance.md
    python tools/benchmark.py --size slim --quick --only 'machine|training'

Prints Markdown and writes report.md and report.json. Every part runs in a process of its own: one
that fails is recorded, and the others go on. Scenes are drawn and weights are random: they change
neither the work nor its time. The figures of a busy machine are worth nothing.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser
from common.check_arguments import add_check

from checks import parts, report
from checks.processes import passed, run_check
from objseg.errors import UserError
from objseg.files import REPOSITORY, write_text

MARK = "<!-- Written by tools/benchmark.py from here on. -->\n"
"""The line of a document below which the report is written."""


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="one timed repetition, to try it out")
    parser.add_argument("--document", type=Path, metavar="FILE",
                        help="a Markdown file that takes the report, too, below its mark (default: "
                        "none)")
    add_check(parser, REPOSITORY / "out" / "benchmark", iterations=5, timeout=600)
    options = parser.parse_args()
    if options.quick:
        options.iterations = 1
    return options


def above_mark(document):
    """Return the text of the file ``document`` down to MARK; raises UserError without a mark."""
    before, mark, _ = document.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise UserError(f"{document} has no line {MARK.strip()!r}, below which to write; add it")
    return before + mark


def put_into(document, lines):
    """Replace the text below MARK in the file ``document`` by ``lines``."""
    write_text(document, above_mark(document) + "\n" + "\n".join(lines) + "\n")


def main():
    """Run every part and write the report."""
    options = parse()
    if options.document:
        above_mark(options.document)  # not after an hour of measuring
    results = run_check(parts.benchmark(), options, gpu=None)
    lines = report.write(options.out, report.markdown(results, options.size), results)
    if options.document:
        put_into(options.document, lines)
    return 0 if all(map(passed, results.values())) else 1


if __name__ == "__main__":
    environment.run(main)
