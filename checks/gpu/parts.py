"""The list of parts: what is run, in which order, and by which function."""

from checks.gpu import nets
from checks.gpu.correctness import compare_net, compare_solvers, compare_with_torch
from checks.gpu.machine import describe_machine
from checks.gpu.timing import time_segmentation, time_torch, time_training

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

FIRST = "train_highres"
"""The net that holds every layer of the paper's model."""


def environment(part):
    """Environment variables that a part, given by its name, wants set."""
    return {"CAFFE_TF32": "1"} if part.endswith(" TF32") else {}


def run(part, check):
    """Run a part in this process; returns its dictionary."""
    function, *arguments = part.replace(" TF32", "").split()
    return FUNCTIONS[function](check, *arguments)


def compared_nets(size, quick):
    """List the nets to compare, by their short names; ``size`` is a folder of nets, or ""."""
    names = [nets.label(path) for kind in ("train", "deploy") for path in nets.committed(kind)]
    compared = [name for name in names if name.startswith("slim/")]
    if size == "slim":
        return compared
    # The paper's nets for use have the layers of its train nets, in the same shapes.
    for name in sorted((n for n in names if n.startswith("train_")), key=FIRST.__ne__):
        if not quick or name == FIRST or nets.layer_types([name]) - nets.layer_types(compared):
            compared.append(name)
    return compared


def uncovered(results, size):
    """Layer types of the nets of ``size``, a folder, that no finished part has compared, sorted."""
    names = [nets.label(path) for kind in ("train", "deploy") for path in nets.committed(kind)]
    seen = {kind for name, result in results.items() if name.startswith("net ")
            for kind in result.get("layers", ())}
    return sorted(nets.layer_types(n for n in names if not size or n.startswith(size)) - seen)


def plan(check, images, quick, tf32):
    """List the names of a check's parts: a word of FUNCTIONS, its arguments, and TF32 if wanted.

    ``images`` are the sizes of the batches to train on. ``quick`` leaves out the timing of stage 1,
    and of the paper's nets those whose types of layers others have; ``tf32``, whether the device
    has it.
    """
    compared = compared_nets(check.size, quick)
    names = ["machine", "solvers", *(f"net {name}" for name in compared)]
    names += [f"training {stage} {count}" for stage in STAGES[quick:] for count in images]
    names += ["segmentation", "agreement", *(f"torch train {count}" for count in images),
              "torch alone 1", "torch shared 1"]
    if tf32:
        largest = max(images)
        timed = nets.label(check.path("train", "highres"))
        names += [f"net {timed} TF32", f"training highres {largest} TF32",
                  "segmentation TF32", f"torch train {largest} TF32"]
    return names
