"""The list of parts: what is measured, in which order, and by which function."""

from models.registry import MODELS
from objseg.benchmark.cores import TASKS, sizes, time_split, time_torch_split
from objseg.benchmark.layers import time_layers
from objseg.benchmark.machine import cores, describe_machine
from objseg.benchmark.models import train_model
from objseg.benchmark.opencv import time_opencv
from objseg.benchmark.start import time_start
from objseg.gpu_check.timing import time_segmentation, time_torch

FUNCTIONS = {
    "machine": describe_machine,
    "net": train_model,
    "torch": time_torch,
    "evaluation": time_segmentation,
    "opencv": time_opencv,
    "layers": time_layers,
    "start": time_start,
    "cores": time_split,
    "torch-cores": time_torch_split,
}
"""The function of a part by the first word of its name."""


def plan():
    """List the names of the parts: a word of FUNCTIONS and its arguments.

    What is compared stands side by side: the load of a machine changes with time.
    """
    names = ["machine", *(f"net {name}" for name in MODELS)]
    names += ["torch train 1", "evaluation", "torch shared 1", "torch alone 1", "opencv", "layers",
              "start"]
    for task, other in zip(TASKS, ("shared", "train")):
        for split in splits(cores()):
            names += [f"cores {task} {split}", f"torch-cores {other} {split}"]
    return names


def splits(count):
    """Ways to share ``count`` cores out: one process with all, a process a core, and one core."""
    return list(dict.fromkeys([f"1x{count}", f"{count}x1", "1x1"]))


def environment(part):
    """Environment variables that a part, given by its name, wants set."""
    word, *arguments = part.split()
    if word != "cores":
        return {}
    _, threads = sizes(arguments[-1])
    return {"OPENBLAS_NUM_THREADS": str(threads)}


def run(part, check):
    """Run a part in this process; returns its dictionary."""
    function, *arguments = part.split()
    return FUNCTIONS[function](check, *arguments)
