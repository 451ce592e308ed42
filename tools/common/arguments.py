"""Command-line options that several tools have; importing this loads nothing but argparse."""

import argparse
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REFERIT = REPOSITORY / "data" / "referit"
LARGEST = 2**31 - 1  # of Caffe's integers


class Parser(argparse.ArgumentParser):
    """A parser that shows ``text``, a tool's docstring, as it is, and the options' defaults."""

    def __init__(self, text: str):
        super().__init__(description=text, formatter_class=Formatter)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Adds "(default: …)" to the help of an option, unless the help speaks of a default itself."""

    def _get_help_string(self, action):
        default = action.default
        if "default" in action.help or not isinstance(default, (int, float, str, Path)) \
                or isinstance(default, bool) or default == argparse.SUPPRESS:
            return action.help
        if isinstance(default, Path) and default.is_relative_to(REPOSITORY):
            default = default.relative_to(REPOSITORY)
        return f"{action.help} (default: {default})"


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    return at_least(1, text)


def not_negative(text: str) -> int:
    """Parse an integer of at least 0."""
    return at_least(0, text)


def at_least(smallest: int, text: str) -> int:
    """Parse an integer of at least ``smallest``; ArgumentTypeError says what was expected."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or number < smallest:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer of at least {smallest}")
    if number > LARGEST:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer of at most {LARGEST}")
    return number


def add_size(parser: argparse.ArgumentParser, default: str = "paper"):
    """Add --size, the name of a size of :data:`models.sizes.SIZES`."""
    parser.add_argument("--size", choices=("paper", "photo", "slim"), default=default,
                        help="the paper's nets, those for photographs, or slim ones for a CPU")


def add_trained_model(parser: argparse.ArgumentParser) -> None:
    """Add --method, --size and --weights, which choose a trained model of the paper's."""
    parser.add_argument("--method", choices=("highres", "lowres"), default="highres",
                        help="the model of stage 2 or of stage 1 (default: highres)")
    add_size(parser, "photo")
    parser.add_argument("--weights", type=Path, metavar="PATH",
                        help="trained weights, or a folder whose newest weights of the method are "
                        "taken (default: for photo those in models/photo, else the file that "
                        "training leaves for the size)")


def add_data(parser: argparse.ArgumentParser, default: Path | None = None):
    """Add --data; without a ``default``, ``options.data`` is None for the size's own data set."""
    sizes = " (default: data/referit for --size paper, data/demo for slim)"
    parser.add_argument("--data", type=Path, metavar="DIR", default=default,
                        help="prepared data set" + ("" if default else sizes))


def add_split(parser: argparse.ArgumentParser, default: str):
    """Add --split, the name of a split of the data set."""
    parser.add_argument("--split", default=default, metavar="NAME",
                        help="part of the data set: train, val, trainval or test; testA, testB and "
                        "such where it has them")


def add_device(parser: argparse.ArgumentParser, verb: str = "compute"):
    """Add --gpu N and --cpu, the default; ``options.gpu`` is N or None."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=not_negative, metavar="N",
                        help=f"{verb} on GPU number N (default: on the CPU)")
    device.add_argument("--cpu", action="store_true", help=f"{verb} on the CPU, the default")


def add_workers(parser: argparse.ArgumentParser):
    """Add --workers, the number of processes, for work that loads no net."""
    from objseg.parallel.cores import available_cores

    parser.add_argument("--workers", type=positive, metavar="N", default=available_cores(),
                        help="processes (default: one a core)")


def add_net_workers(parser: argparse.ArgumentParser):
    """Add --workers for work that loads a net in each process; see :func:`net_workers`."""
    parser.add_argument("--workers", type=positive, metavar="N",
                        help="processes, each with a net of its own; the results are the same for "
                        "any N (default: one a core, at most 4; 1 on a GPU)")


def net_workers(options: argparse.Namespace) -> int:
    """Return the number of processes, for the options of :func:`add_net_workers` and add_device."""
    from objseg.parallel.cores import available_cores

    if options.workers is not None:
        return options.workers
    return min(4, available_cores()) if options.gpu is None else 1


def add_check(parser: argparse.ArgumentParser, out: Path, iterations: int, timeout: int):
    """Add the options of gpu_check.py and benchmark.py, with these defaults."""
    add_size(parser)
    parser.add_argument("--iterations", type=positive, default=iterations, metavar="N",
                        help="timed repetitions")
    parser.add_argument("--torch-python", metavar="PATH",
                        help="a Python with torch, to compare with (default: no comparison)")
    parser.add_argument("--timeout", type=positive, default=timeout, metavar="S",
                        help="seconds that a part may take")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME",
                        help="run only the parts whose names begin so, such as training or "
                        "'net slim' (default: all)")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR",
                        help="where report.md and report.json go")
