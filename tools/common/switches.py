"""Command line switches that several tools have."""

import argparse
import os
from pathlib import Path

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.data.dataset import SPLITS, Dataset
from objseg.files import REPOSITORY
from objseg.methods.table1 import METHODS, configure


def positive(text):
    """Parse an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return number


def add_data(parser):
    """Add --size and --data; ``options.data`` is a Path, or None for the size's own data set."""
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="prepared data set (default: the size's, data/referit for paper)")


def add_nets(parser):
    """Add --prototxt and --vocabulary, the files that go with trained weights; Paths or None."""
    parser.add_argument("--prototxt", type=Path, metavar="DIR",
                        help="folder of deploy_MODEL.prototxt (default: the size's)")
    parser.add_argument("--vocabulary", type=Path, metavar="FILE",
                        help="the words that the weights were trained with (default: "
                        "MODEL_vocabulary.txt beside the weights, else the data set's)")


def add_device(parser, verb="compute"):
    """Add --gpu N and --cpu, the default; ``options.gpu`` is N or None."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help=f"{verb} on GPU number N")
    device.add_argument("--cpu", action="store_true", help=f"{verb} on the CPU (the default)")


def choose_workers(options):
    """Set ``options.workers``, if it was not given, for work that loads a net in each process."""
    if options.workers is None:
        options.workers = min(4, os.cpu_count() or 1) if options.gpu is None else 1


def add_methods(parser):
    """Add the switches that say which methods to run, with which files, on which data set."""
    add_data(parser)
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--method", action="append", choices=[*METHODS, "all"],
                        help="repeatable; default highres")
    parser.add_argument("--weights", action="append", default=[], metavar="[MODEL=]FILE",
                        help="in place of the file that training leaves for the size; repeatable")
    add_nets(parser)
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default out/eval_DATA_SPLIT in the repository")
    add_device(parser)


def chosen(options, **settings):
    """Return the choice of :func:`add_methods`' switches: (Dataset, Configurations, output folder).

    The Configurations are a list in the order of Table 1; ``settings`` are further ones of
    :func:`objseg.methods.table1.configure`.
    """
    asked = options.method or ["highres"]
    methods = [name for name in METHODS if name in asked or "all" in asked]
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    weights = chosen_weights(options.weights, methods)
    configurations = [
        configure(
            name, size, dataset.directory, weights.get(METHODS[name].model), options.vocabulary,
            options.prototxt, options.gpu, **settings,
        )
        for name in methods
    ]
    out = options.out or evaluation_folder(dataset.directory, options.split)
    return dataset, configurations, out


def evaluation_folder(data, split="test"):
    """Where the results on a ``split`` of the data set in the Path ``data`` go by default."""
    return REPOSITORY / "out" / f"eval_{data.resolve().name}_{split}"


def chosen_weights(texts, methods):
    """Turn the values of --weights into {model: path}; a bare FILE is for the only model."""
    every = {method.model: None for method in METHODS.values() if method.model}
    models = [model for model in every if model in {METHODS[name].model for name in methods}]
    weights = {}
    for text in texts:
        name, _, path = text.partition("=")
        if name not in every:  # a file, whose name may hold "="
            if len(models) != 1:
                raise UserError(
                    f"--weights {text}: which model is it for? Write --weights MODEL={text}, "
                    f"with MODEL one of {', '.join(models or every)}"
                )
            (name,), path = models, text
        if name not in models:
            raise UserError(
                f"--weights {text}: no method that uses the model {name} is chosen; add --method"
            )
        weights[name] = path
    return weights
