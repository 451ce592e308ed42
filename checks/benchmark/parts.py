"""The list of parts: what is measured, in which order, and by which function."""

from checks.benchmark.cores import TASKS, sizes, time_ranks, time_split, time_torch_split
from checks.benchmark.layers import time_layers
from checks.benchmark.machine import cores, describe_machine
from checks.benchmark.models import train_model
from checks.benchmark.opencv import time_opencv
from checks.benchmark.start import time_start
from checks.gpu.timing import time_segmentation, time_torch
from models.registry import MODELS

FUNCTIONS = {
    "machine": describe_machine,
    "net": train_model,
    "opencv": time_opencv,
    "layers": time_layers,
    "start": time_start,
    "evaluation": time_segmentation,
    "torch": time_torch,
    "cores": time_split,
    "torch-cores": time_torch_split,
    "ranks": time_ranks,
}
"""The function of a part by the first word of its name."""

ROUNDS = 3
"""How often parts that are compared come in turn: the speed of a shared machine drifts by a fifth
within minutes, and by no program of its own."""


def plan():
    """List the names of the parts, a word of FUNCTIONS and its arguments, some several times."""
    count = cores()
    compared = ["evaluation", "torch alone 1"]
    for task, other in zip(TASKS, ("shared", "train")):
        for split in splits(count):
            compared.append(f"cores {task} {split}")
            if split != "1x1" or count == 1:  # against PyTorch all cores work
                compared.append(f"torch-cores {other} {split}")
    if count > 1:
        compared.append(f"ranks {count}")
    return ["machine", *(f"net {name}" for name in MODELS), "opencv", "layers", "start",
            *compared * ROUNDS]


def splits(count):
    """Ways to share ``count`` cores out: one process with all, a process a core, and one core."""
    return list(dict.fromkeys([f"1x{count}", f"{count}x1", "1x1"]))


def environment(part):
    """Environment variables that a part, given by its name, wants set."""
    word, *arguments = part.split()
    if word == "ranks":
        return {"OPENBLAS_NUM_THREADS": "1"}
    if word == "cores":
        return {"OPENBLAS_NUM_THREADS": str(sizes(arguments[-1])[1])}
    return {}


def launcher(part):
    """Words that come before the command of a part, given by its name."""
    word, *arguments = part.split()
    return ["mpirun", "-n", *arguments] if word == "ranks" else []


def run(part, check):
    """Run a part in this process; returns its dictionary, None where another rank has it."""
    function, *arguments = part.split()
    return FUNCTIONS[function](check, *arguments)
