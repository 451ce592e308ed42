"""Command-line options of tools/gpu_check.py and tools/benchmark.py."""

import argparse
import re
from pathlib import Path

from common.arguments import add_size, positive


def pattern(text: str) -> str:
    """Return ``text`` if it is a regular expression; else raise ArgumentTypeError."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text}: not a regular expression: {error}") from error
    return text


def add_check(parser: argparse.ArgumentParser, out: Path, iterations: int, timeout: int):
    """Add the options that both tools have, with these defaults."""
    add_size(parser)
    parser.add_argument("--iterations", type=positive, default=iterations, metavar="N",
                        help="timed repetitions")
    parser.add_argument("--torch-python", metavar="PATH",
                        help="a Python with torch, to compare with (default: this one, or python3 "
                        "on the PATH)")
    parser.add_argument("--timeout", type=positive, default=timeout, metavar="S",
                        help="seconds that a part may take")
    parser.add_argument("--only", type=pattern, metavar="REGEX", default="",
                        help="run only the parts whose names match from their start on, such as "
                        "'training|layers' (default: all)")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR",
                        help="where report.md and report.json go")
