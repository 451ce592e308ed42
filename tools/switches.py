"""Command line switches that several tools have."""

import argparse
import os


def positive(text):
    """Parse an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return number


def add_device(parser, verb="compute"):
    """Add --gpu N and --cpu, the default; ``options.gpu`` is N or None."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help=f"{verb} on GPU number N")
    device.add_argument("--cpu", action="store_true", help=f"{verb} on the CPU (the default)")


def choose_workers(options):
    """Set ``options.workers``, if it was not given, for work that loads a net in each process."""
    if options.workers is None:
        options.workers = min(4, os.cpu_count() or 1) if options.gpu is None else 1
