"""The commands to type after a training, which work as they are printed."""

import argparse
import os
import shlex
from pathlib import Path

from models.registry import MODELS
from objseg.data.dataset import Dataset
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
    place = ["--size", options.size, "--prototxt", shown(out / "prototxt")]
    if options.gpu is not None:
        place += ["--gpu", str(options.gpu)]
    methods = [name for name, method in METHODS.items() if method.model == options.model]
    commands = [[
        "python", f"{tools}/eval_referit.py", *(w for name in methods for w in ("--method", name)),
        "--weights", f"{options.model}={shown(weights)}", "--data", shown(dataset.directory),
        *place,
    ]]
    sample = next(iter(dataset.samples("test") or dataset.samples("train")), None)
    if sample and options.model == "highres":
        commands.append([
            "python", f"{tools}/segment.py", shown(sample.image.path), sample.expression,
            "--weights", shown(weights), *place,
        ])
    return [shlex.join(command) for command in commands]


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
