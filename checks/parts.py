"""The parts of the GPU check and of the benchmark: names, order, and the function of each.

The name of a part is a word of FUNCTIONS, its arguments, and TF32 where it computes in that.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from checks import nets
from checks.correctness import compare_net, compare_solvers, compare_with_torch
from checks.layers import time_layers
from checks.machine import describe_machine
from checks.opencv import time_opencv
from checks.options import Options
from checks.splits import splits, time_split, time_torch_split
from checks.start import time_start
from checks.timing import time_segmentation, time_torch, time_training
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
    "torch": time_torch,
    "layers": time_layers,
    "opencv": time_opencv,
    "start": time_start,
    "split": time_split,
    "torch-split": time_torch_split,
}
"""The function of a part by the first word of its name."""

ROUNDS = 3
"""How often the benchmark's compared parts come in turn: the speed of a shared machine drifts by a
fifth within minutes, without a program of its own to blame."""

FIRST = "train_highres"
"""The net that holds every layer of the paper's model."""


def run(part: str, options: Options) -> dict | None:
    """Run a part in this process; returns its result, None where another rank has it."""
    function, *arguments = part.removesuffix(" TF32").split()
    return FUNCTIONS[function](options, *arguments)


def compared_nets(size: str, quick: bool) -> list[str]:
    """List the nets to compare, by their short names: the slim ones, and for size paper its own.

    ``quick`` leaves out the paper's nets whose types of layers others have.
    """
    names = nets.committed("train", "deploy")
    compared = [name for name in names if name.startswith("slim/")]
    if size == "slim":
        return compared
    # The paper's nets for use have the layers of its train nets, in the same shapes.
    trained = [name for name in names if name.startswith("train_") and name != FIRST]
    for name in [FIRST, *trained]:
        if name == FIRST or not quick or nets.layer_types([name]) - nets.layer_types(compared):
            compared.append(name)
    return compared


def uncovered(results: dict[str, dict], size: str) -> list[str]:
    """List the layer types of all nets up to ``size`` that no finished part has compared."""
    seen = {kind for name, result in results.items() if name.startswith("net ")
            for kind in result.get("layers", ())}
    names = nets.committed("train", "deploy")
    if size == "slim":
        names = [name for name in names if name.startswith("slim/")]
    return sorted(nets.layer_types(names) - seen)


def gpu_check(size: str, images: Iterable[int], quick: bool, tf32: bool) -> list[str]:
    """List the parts of the GPU check; ``images`` are sizes of batches, ``tf32``: the GPU has it.

    ``quick`` leaves out stage 1's training and some nets (:func:`compared_nets`).
    """
    largest = max(images)
    plan = ["machine", "solvers", *(f"net {name}" for name in compared_nets(size, quick))]
    for model in ["highres"] if quick else ["lowres", "highres"]:
        plan += [f"training {model} {count}" for count in images]
    plan += ["segmentation", "layers", "agreement", *(f"torch training {n}" for n in images),
             "torch alone", "torch shared"]
    if tf32:
        timed = FIRST if size == "paper" else f"{size}/{FIRST}"
        plan += [f"net {timed} TF32", f"training highres {largest} TF32", "segmentation TF32",
                 f"torch training {largest} TF32"]
    return plan


def benchmark() -> list[str]:
    """List the parts of the benchmark, those that are compared ROUNDS times in turn."""
    count = available_cores()
    compared = ["segmentation", "torch alone"]
    for task in ("evaluation", "training"):
        for split in splits(count):
            compared.append(f"split {task} {split}")
            if split != "1x1" or count == 1:  # PyTorch is compared on all cores
                compared.append(f"torch-split {task} {split}")
    if count > 1:
        compared.append(f"split mpi-training {count}x1")
    models = [name.removeprefix("solver_") for name in nets.committed("solver") if "/" not in name]
    batches = {"scrc": 10, "grounder": 10}  # expressions; the others take an image
    training = [f"training {model} {batches.get(model, 1)}" for model in models]
    return ["machine", *training, "opencv", "layers", "start", *compared * ROUNDS]


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
