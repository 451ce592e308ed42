"""The list of parts: what is run, in which order, and by which function."""

from objseg.gpu_check import nets
from objseg.gpu_check.correctness import compare_net, compare_solvers, compare_with_torch
from objseg.gpu_check.machine import describe_machine
from objseg.gpu_check.timing import time_segmentation, time_torch, time_training

FUNCTIONS = {
    "machine": describe_machine,
    "net": compare_net,
    "solvers": compare_solvers,
    "agreement": compare_with_torch,
    "training": time_training,
    "segmentation": time_segmentation,
    "torch": time_torch,
}
"""The function of a part by the first word of its name."""

STAGES = ("lowres", "highres")


def environment(part):
    """Environment variables that a part, given by its name, wants set."""
    return {"CAFFE_TF32": "1"} if part.endswith(" TF32") else {}


def run(part, check):
    """Run a part in this process; returns its dictionary."""
    function, *arguments = part.replace(" TF32", "").split()
    return FUNCTIONS[function](check, *arguments)


def plan(check, images, quick):
    """List the names of a check's parts: a word of FUNCTIONS, its arguments, and TF32 if wanted.

    ``images`` are the sizes of the batches to train on. ``quick`` leaves out the paper's nets but
    one, and the timing of stage 1.
    """
    names = [nets.label(path) for kind in ("train", "deploy") for path in nets.committed(kind)]
    compared = [name for name in names if name.startswith("slim/")]
    if not check.size:  # the paper's nets for use have the layers and shapes of its train nets
        compared += [name for name in names if name.startswith("train_")]
    if quick:
        compared = [n for n in compared if n.startswith("slim/") or n == "train_highres"]
    names = ["machine", "solvers", *(f"net {name}" for name in compared)]
    names += [f"training {stage} {count}" for stage in STAGES[quick:] for count in images]
    names += ["segmentation", "agreement", *(f"torch train {count}" for count in images),
              "torch alone 1", "torch shared 1"]
    if check.gpu is not None:  # the CPU has no TF32
        largest = max(images)
        timed = nets.label(check.path("train", "highres"))
        names += [f"net {timed} TF32", f"training highres {largest} TF32",
                  "segmentation TF32", f"torch train {largest} TF32"]
    return names
