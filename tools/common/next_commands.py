"""The commands to type after a training, which work as they are printed."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from models.registry import MODELS
from objseg.data.dataset import Dataset
from objseg.data.expressions import tokenize
from objseg.methods.table1 import METHODS

def next_commands(options: argparse.Namespace, dataset: Dataset, weights: Path) -> list[str]:
    """Return the commands that follow a training: of the next stage, or the model's use.

    ``options`` is the parsed command line of tools/train.py, which left ``weights``.
    """
    tools = shown(Path(__file__).parents[1])
    following = [name for name, model in MODELS.items() if model.start_model == options.model]
    if following:
        return [shlex.join(["python", f"{tools}/train.py", "--model", following[0], "--out",
                            shown(weights.parent), *for_the_next_stage(sys.argv[1:])])]
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


def for_the_next_stage(words: list[str]) -> list[str]:
    """Return the words of a training's command line that hold for the next stage, too."""
    of_one_run = argparse.ArgumentParser()
    for name in ("--model", "--out", "--weights", "--if-changed", "--iterations"):
        of_one_run.add_argument(name)
    for name in ("--resume", "--overwrite", "--mpi"):
        of_one_run.add_argument(name, action="store_true")
    return of_one_run.parse_known_args(words)[1]


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


def shown(path: Path) -> str:
    """Return a path as text: relative to the working directory if it is inside."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
