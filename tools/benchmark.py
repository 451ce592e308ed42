"""Measure how fast it is: against PyTorch, the authors' protocol and the machine's peak.

    python tools/benchmark.py --torch-python PATH
    python tools/benchmark.py --size slim --iterations 1 --only training layers

Prints Markdown and writes report.md and report.json. Every part runs in a process of its own: one
that fails is recorded, and the others go on. Scenes are drawn and weights are random: they change
neither the work nor its time. The figures of a busy machine are worth nothing.
"""

from common import environment

environment.enter()

from common.arguments import Parser, add_check

from checks import parts, report
from checks.processes import passed, run_check
from objseg.files import REPOSITORY


def main():
    """Run every part and write the report."""
    parser = Parser(__doc__)
    add_check(parser, REPOSITORY / "out" / "benchmark", iterations=5, timeout=600)
    options = parser.parse_args()
    results = run_check(parts.benchmark(options.size), options, gpu=None)
    report.write(options.out, report.markdown(results, options.size), results)
    return 0 if all(map(passed, results.values())) else 1


if __name__ == "__main__":
    environment.run(main)
