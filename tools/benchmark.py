"""Measure how fast it is: against PyTorch, OpenCV, the authors' protocol and the machine's peak.

    python tools/benchmark.py --torch-python PATH --document docs/performance.md
    python tools/benchmark.py --size slim --quick --only 'machine|net'

Prints Markdown and writes report.md and report.json. Every part runs in a process of its own: one
that fails is recorded, and the others go on. Scenes are drawn and weights are random: they change
neither the work nor its time. The figures of a busy machine are worth nothing.
"""

import os
import time

if not os.environ.get("OBJSEG_INSIDE"):  # on the host, before the Caffe environment is entered
    os.environ["OBJSEG_BEGAN"] = str(time.time())

from common import environment

environment.enter()

ENTERED = time.time()

import argparse
import json
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

from common.arguments import positive

from models.sizes import SIZES
from checks import torch_reference
from checks.benchmark import parts, text
from checks.benchmark.data import make_data
from checks.benchmark.machine import Others
from objseg.errors import UserError
from objseg.files import REPOSITORY, write_text
from checks.gpu.check import Check
from checks.gpu.processes import run_part

MARK = "<!-- Written by tools/benchmark.py from here on. -->\n"
"""The line of a document below which the report stands."""


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--quick", action="store_true", help="one timed iteration, to try it out")
    parser.add_argument("--iterations", type=positive, default=5, metavar="N",
                        help="timed repetitions (default 5)")
    parser.add_argument("--only", metavar="REGEX", default="",
                        help="only the parts whose names match from their start on")
    parser.add_argument("--torch-python", metavar="PATH",
                        help="a Python with torch (default: this one, or python3 on the PATH)")
    parser.add_argument("--timeout", type=positive, default=600, metavar="S",
                        help="seconds that a part may take (default 600)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "benchmark", metavar="DIR")
    parser.add_argument("--document", type=Path, metavar="FILE",
                        help="a Markdown file to write the report into, below its mark")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what the tool calls itself with
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
    """Replace what stands below MARK in the file ``document`` by ``lines``."""
    write_text(document, above_mark(document) + "\n" + "\n".join(lines) + "\n")


def repetitions(iterations, rounds):
    """How many each of ``rounds`` takes for ``iterations`` in all, or a few more."""
    return -(-iterations // rounds)


def measure(plan, options, check):
    """Run the parts of ``plan``; returns {part: its dictionary}.

    Parts that come several times share the repetitions asked for; of times there are then lists.
    """
    results = {}
    for number, part in enumerate(plan, 1):
        iterations = repetitions(options.iterations, plan.count(part))
        words = [*parts.launcher(part), sys.executable, os.path.abspath(__file__), "--part", part,
                 "--size", options.size, "--iterations", str(iterations),
                 "--out", str(options.out),
                 *(["--torch-python", check.torch_python] if check.torch_python else [])]
        with Others() as others:
            result = run_part(
                words, check.work / "answer.json", options.timeout, parts.environment(part)
            )
        result["others"] = round(others.share, 3)
        results[part] = join(results.get(part), result)
        verdict = "ok" if text.passed(result) else result.get("failure", "FAILED")
        print(f"{number}/{len(plan)} {part}: {verdict} ({result['took']} s, other programs "
              f"{100 * others.share:.0f} %)", file=sys.stderr, flush=True)
    return results


def join(earlier, result):
    """Add the times of an ``earlier`` result of the same part, or None, to those of ``result``.

    A failure stays one.
    """
    if earlier is None or "failure" in result:
        return result
    if "failure" in earlier:
        return earlier
    times = {key: earlier[key] + result[key] for key in ("seconds", "alone", "shared")
             if key in result}
    return {**result, **times, "others": max(earlier["others"], result["others"])}


def main():
    """Run every part and write the report."""
    options = parse()
    options.out = options.out.resolve()
    work = options.out / "work"
    folder = "" if options.size == "paper" else options.size
    if options.part:
        check = Check(work, None, folder, options.iterations, options.torch_python)
        answer = parts.run(options.part, check)
        if answer is not None:
            write_text(work / "answer.json", json.dumps(answer))
        return 0
    if options.document:
        above_mark(options.document)  # not after an hour of measuring
    torch_python = torch_reference.find_python(options.torch_python)
    check = Check(work, None, folder, options.iterations, torch_python)
    plan = [part for part in parts.plan() if re.match(options.only, part)]
    if torch_python is None:
        print("no Python with torch here: PyTorch is left out (--torch-python PATH names one)",
              file=sys.stderr)
        plan = [part for part in plan if not part.startswith("torch")]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # with its parts
    shutil.rmtree(work, ignore_errors=True)
    images = repetitions(options.iterations, parts.ROUNDS) + 1
    make_data(check.data, SIZES[options.size], test=images)
    results = measure(plan, options, check)
    if "start" in results and {"OBJSEG_BEGAN", "OBJSEG_INSIDE"} <= set(os.environ):
        results["start"]["entry"] = ENTERED - float(os.environ["OBJSEG_BEGAN"])
    shutil.rmtree(work)
    # where torch lies on this machine means nothing elsewhere
    words = ["PATH" if word == options.torch_python else word for word in sys.argv[1:]]
    command = shlex.join(["python", "tools/benchmark.py", *words])
    lines = [f"`{command}`", "", *text.report(results, options.size)]
    write_text(options.out / "report.md", "\n".join(lines) + "\n")
    write_text(options.out / "report.json", json.dumps(
        {"command": command, "size": options.size, "parts": results}, indent=1
    ))
    if options.document:
        put_into(options.document, lines)
    print("\n".join(lines))
    return 0 if all(map(text.passed, results.values())) else 1


if __name__ == "__main__":
    environment.run(main)
