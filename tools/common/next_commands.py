"""The commands to type after a training, which work as they are printed."""

import argparse
import os
import shlex
from pathlib import Path

from models.registry import MODELS
from objseg.data.dataset import Dataset
from objseg.data.expressions import tokenize
from objseg.methods.table1 import METHODS

OF_ONE_RUN = {"model", "out", "weights", "resume", "overwrite", "if_changed", "iterations", "mpi",
              "help"}
"""Options of a training that the next stage does not take over as they are."""


def next_commands(
    parser: argparse.ArgumentParser, options: argparse.Namespace, dataset: Dataset, weights: Path
) -> list[str]:
    """Return the commands that follow a training: of the next stage, or the model's use.

    ``parser`` is that of ``options``, the command line of tools/train.py, which left ``weights``.
    """
    tools = shown(Path(__file__).parents[1])
    out = weights.parent
    following = [name for name, model in MODELS.items() if model.start_model == options.model]
    if following:
        return [shlex.join(["python", f"{tools}/train.py", "--model", following[0], "--out",
                            shown(out), *given(parser, options)])]
    methods = [name for name, method in METHODS.items() if method.model == options.model]
    evaluate = [
        "python", f"{tools}/eval_referit.py", *(w for name in methods for w in ("--method", name)),
        "--weights", f"{options.model}={shown(weights)}", "--data", shown(dataset.directory),
        "--size", options.size,
    ]
    if options.gpu is not None:
        evaluate += ["--gpu", str(options.gpu)]
    commands = [shlex.join(evaluate)]
    segment = segment_command(options, dataset, weights) if options.model == "highres" else None
    return [*commands, segment] if segment else commands


def segment_command(
    options: argparse.Namespace, dataset: Dataset, weights: Path, method: str = "highres"
) -> str | None:
    """Return the command that tries a file or folder of weights on a picture.

    The expression is the longest of the first picture of the test split, of words that the
    vocabulary holds; None where there is none. ``options`` have the size and the GPU.
    """
    samples = [sample for sample in dataset.samples("test") or dataset.samples("train")
               if all(token in dataset.vocabulary for token in tokenize(sample.expression))]
    if not samples:
        return None
    image = samples[0].image
    expression = max((sample.expression for sample in samples if sample.image is image), key=len)
    words = ["python", shown(Path(__file__).parents[1] / "segment.py"), shown(image.path),
             expression, "--size", options.size, "--weights", shown(weights)]
    if method != "highres":
        words += ["--method", method]
    if options.gpu is not None:
        words += ["--gpu", str(options.gpu)]
    return shlex.join(words)


def given(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    """Return the words that give the next stage the options of this one."""
    words, taken = [], set(OF_ONE_RUN)
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        if action.dest in taken or value == action.default:
            continue
        if action.nargs == 0:
            if value == action.const:
                words.append(action.option_strings[0])
        else:
            place = isinstance(value, Path)
            words += [action.option_strings[0], shown(value) if place else str(value)]
    return words


def shown(path: Path) -> str:
    """Return a path as text: relative to the working directory if it is inside."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
