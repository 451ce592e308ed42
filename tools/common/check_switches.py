"""The switches of tools/gpu_check.py and tools/benchmark.py."""

import argparse
import re
from argparse import ArgumentParser
from pathlib import Path

from common.switches import positive


def pattern(text: str) -> str:
    """Return ``text`` if it is a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text}: not a regular expression: {error}") from error
    return text


def add_arguments(parser: ArgumentParser, out: Path, iterations: int, timeout: int) -> None:
    """Add the switches that both tools have, with the defaults given."""
    parser.add_argument("--size", choices=("paper", "slim"), default="paper",
                        help="the nets: the paper's (default), or the slim ones, a trial in "
                        "minutes")
    parser.add_argument("--iterations", type=positive, default=iterations, metavar="N",
                        help=f"timed repetitions (default {iterations})")
    parser.add_argument("--torch-python", metavar="PATH",
                        help="a Python with torch, to compare with (default: this one, or python3 "
                        "on the PATH)")
    parser.add_argument("--timeout", type=positive, default=timeout, metavar="S",
                        help=f"seconds that a part may take (default {timeout})")
    parser.add_argument("--only", type=pattern, metavar="REGEX", default="",
                        help="run only the parts whose names match from their start on, such as "
                        "'training|layers'")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR",
                        help="where report.md and report.json go (default out/NAME_OF_THIS_TOOL)")
