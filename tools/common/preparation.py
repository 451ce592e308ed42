"""What the tools that make a prepared data set share: the words' options, and what they print."""

import argparse
from pathlib import Path

from common.arguments import add_workers, positive

from objseg.data.expressions import MIN_COUNT, Vocabulary
from objseg.data.layout import Layout
from objseg.data.prepare import prepare
from objseg.data.summary import describe, list_skipped

SHOWN = 10
"""Lines about what was skipped that are printed; summary.txt has all."""


def add_words(parser: argparse.ArgumentParser):
    """Add --vocabulary and --min-count."""
    parser.add_argument("--vocabulary", type=Path, metavar="FILE",
                        help="words, one a line (default: those of the trainval expressions)")
    parser.add_argument("--min-count", type=positive, default=MIN_COUNT, metavar="N",
                        help="times a word must occur in trainval to get a row")


def add_preparation(parser: argparse.ArgumentParser):
    """Add the options that :func:`prepare_and_print` reads, beside --out."""
    add_words(parser)
    add_workers(parser)


def prepare_and_print(
    raw: Path | Layout, options: argparse.Namespace, annotations_only: bool = False
) -> None:
    """Prepare ``raw`` into the folder ``options.out`` and print what that holds."""
    vocabulary = Vocabulary.load(options.vocabulary) if options.vocabulary else None
    index = prepare(raw, options.out, vocabulary, options.min_count, annotations_only,
                    options.workers)
    print_counts(options.out, index)


def print_counts(out: Path, index: dict) -> None:
    """Print what the data set in ``out`` holds and what was skipped."""
    print(describe(out.resolve().name, index["summary"]), end="")
    skipped = list_skipped(index)
    for line in skipped[:SHOWN]:
        print(f"skipped: {line}")
    if len(skipped) > SHOWN:
        print(f"skipped: {len(skipped):,} in all, listed in {out / 'summary.txt'}")
    print(f"prepared: {out}")
