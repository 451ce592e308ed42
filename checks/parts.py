"""The parts of the GPU check and of the benchmark: names, order, and the function of each.

The name of a part is a word of FUNCTIONS, its arguments, and words that
:func:`checks.processes.run_part` knows.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from checks import nets
from checks.correctness import compare_net, compare_solvers, compare_with_torch
from checks.layers import time_layers
from checks.machine import describe_machine
from checks.options import Options
from checks.processes import SETTINGS
from checks.splits import splits, time_split, time_torch_split
from checks.timing import (
    time_best_torch,
    time_onnx,
    time_segmentation,
    time_torch,
    time_training,
)
from objseg.errors import UserError
from objseg.files import write_text
from objseg.parallel.cores import available_cores

FUNCTIONS = {
    "machine": describe_machine,
    "net": compare_net,
    "solvers": compare_solvers,
    "agreement": compare_with_torch,
    "training": time_training,
    "segmentation": time_segmentation,
    "onnx": time_onnx,
    "torch": time_torch,
    "torch-best": time_best_torch,
    "layers": time_layers,
    "split": time_split,
    "torch-split": time_torch_split,
}
"""The function of a part by the first word of its name."""

ROUNDS = 3
"""How often the benchmark's compared parts come in turn: the speed of a shared machine drifts by a
fifth within minutes, without a program of its own to blame."""

def run(part: str, options: Options) -> dict | None:
    """Run a part in this process; returns its result, None where another rank has it."""
    function, *arguments = (word for word in part.split() if word not in ("slim", *SETTINGS))
    return FUNCTIONS[function](options, *arguments)


def compared_nets(size: str) -> list[str]:
    """List the nets to compare, by their short names: the slim ones, and for size paper its own.

    The paper's nets for use have the layers of its train nets, in the same shapes.
    """
    names = nets.committed("train", "deploy")
    slim = [name for name in names if name.startswith("slim/")]
    return slim if size == "slim" else slim + [n for n in names if n.startswith("train_")]


def gpu_check(size: str, images: Sequence[int], tf32: bool) -> list[str]:
    """List the parts of the GPU check; ``images`` are sizes of batches, ``tf32``: the GPU has it.
    """
    plan = ["machine", "solvers", *(f"net {name}" for name in compared_nets(size))]
    plan += [f"training {model} {count}" for model in ("lowres", "highres") for count in images]
    plan += ["segmentation", "layers", "agreement", *(f"torch training {n}" for n in images),
             "torch alone", "torch shared"]
    if tf32:
        largest, folder = max(images), "" if size == "paper" else f"{size}/"
        plan += [f"net {folder}train_highres TF32", f"training highres {largest} TF32",
                 "segmentation TF32", f"torch training {largest} TF32"]
    return plan


def benchmark(size: str) -> list[str]:
    """List the parts of the benchmark, those that are compared ROUNDS times in turn.

    Beside the paper's ``size`` a few are of the slim one.
    """
    count = available_cores()
    compared = ["segmentation", "segmentation stock", "onnx", "torch alone", "torch-best alone"]
    for task in ("evaluation", "training"):
        for split in splits(count):
            compared += [f"split {task} {split}", f"split {task} {split} stock",
                         f"torch-split {task} {split}"]
    if size == "paper":
        slim = [f"split {task} 1x{count} slim" for task in ("evaluation", "training")]
        compared += [f"{part}{ending}" for part in slim for ending in ("", " stock")]
    if count > 1:
        compared.append(f"split mpi-training {count}x1")
    models = [name.removeprefix("solver_") for name in nets.committed("solver") if "/" not in name]
    batches = {"scrc": 10, "grounder": 10}  # expressions; the others take an image
    training = [f"training {model} {batches.get(model, 1)}" for model in models]
    return ["machine", *training, "layers", *compared * ROUNDS]


def main() -> None:
    """Run the part of the command line with the options (JSON) there; write answer.json."""
    part, given = sys.argv[1], json.loads(sys.argv[2])
    options = Options(**{**given, "work": Path(given["work"])})
    try:
        result = run(part, options)
    except UserError as error:
        result = {"failure": str(error)}
    if result is not None:
        write_text(options.work / "answer.json", json.dumps(result))


if __name__ == "__main__":
    main()
