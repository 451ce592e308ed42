"""Command-line options of the tools that run methods of Table 1."""

import argparse
from pathlib import Path
from typing import NamedTuple

from common.arguments import add_data, add_device, add_size, add_split

from models.sizes import SIZES
from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.configuration import configure
from objseg.methods.method import Configuration
from objseg.methods.table1 import METHODS

TRAINED = tuple(dict.fromkeys(method.model for method in METHODS.values() if method.model))
"""Models that the methods use, in Table 1's order."""


def add_method(parser: argparse.ArgumentParser, default: str):
    """Add --method, repeatable; :func:`chosen_methods` reads it, with the same ``default``."""
    parser.add_argument("--method", action="append", choices=[*METHODS, "all"], metavar="NAME",
                        help=f"a row of Table 1, repeatable: {', '.join(METHODS)}, or all "
                        f"(default: {default})")


def chosen_methods(options: argparse.Namespace, default: str) -> list[str]:
    """Return the names given by --method in the order of Table 1."""
    asked = options.method or [default]
    return [name for name in METHODS if name in asked or "all" in asked]


def add_methods(parser: argparse.ArgumentParser):
    """Add the options that say which methods to run, with which files, on which data set."""
    add_size(parser)
    add_data(parser)
    add_split(parser, "test")
    add_method(parser, "highres")
    parser.add_argument("--weights", action="append", default=[], metavar="[MODEL=]PATH",
                        help="trained weights, repeatable: a file, or a folder whose newest "
                        f"weights are taken; MODEL, one of {', '.join(TRAINED)}, may be left out "
                        "for a folder, which is for all of them, and where the methods use one "
                        "model "
                        "(default: the file that training leaves for the size)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of the results (default: out/eval_DATA_SPLIT)")
    add_device(parser)


class Choice(NamedTuple):
    """The data set, methods and output folder that :func:`add_methods`' options name.

    ``configurations`` are in the order of Table 1, ``unavailable`` {title: why} of the rows that
    --method all asks for and that lack a file.
    """

    dataset: Dataset
    configurations: list[Configuration]
    out: Path
    unavailable: dict[str, str]


def chosen(options: argparse.Namespace, cached: bool = True) -> Choice:
    """Return what the options name; ``cached`` is that of
    :func:`objseg.methods.configuration.configure`.

    Raises UserError where a row that is asked for by its name lacks a file.
    """
    methods = chosen_methods(options, "highres")
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    dataset.images(options.split)  # an unknown split ends here, before anything is written
    weights = chosen_weights(options.weights, methods)
    configurations, unavailable = [], {}
    for name in methods:
        try:
            configurations.append(configure(
                name, size, dataset, weights.get(METHODS[name].model), options.gpu, cached
            ))
        except UserError as error:
            if "all" not in (options.method or []) or name in options.method:
                raise
            unavailable[METHODS[name].title] = str(error)
    name = f"eval_{dataset.directory.resolve().name}_{options.split}"
    out = options.out or REPOSITORY / "out" / name
    return Choice(dataset, configurations, out, unavailable)


def chosen_weights(texts: list[str], methods: list[str]) -> dict[str, str]:
    """Turn the values of --weights into {model: path}.

    A bare folder is for all models that are not named, a bare file for the only model. A value
    begins with "MODEL=" only where MODEL is a model's name: a path may hold "=", too.
    """
    models = [model for model in TRAINED if model in {METHODS[name].model for name in methods}]
    folders = [text for text in texts if Path(text).is_dir()]
    weights = {model: folder for folder in folders for model in models}
    for text in texts:
        name, _, path = text.partition("=")
        if text in folders:
            continue
        if name not in TRAINED:
            if len(models) != 1:
                raise UserError(
                    f"--weights {text}: which model is it for? Write --weights MODEL={text}, "
                    f"with MODEL one of {', '.join(models or TRAINED)}"
                )
            name, path = models[0], text
        if name not in models:
            raise UserError(
                f"--weights {text}: no method that uses the model {name} is chosen; add --method"
            )
        weights[name] = path
    return weights
