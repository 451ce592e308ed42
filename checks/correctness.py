"""The parts that ask whether the results are right: against the CPU, and against PyTorch."""

import re

import caffe
import numpy as np

from checks import nets, torch_python
from checks.comparison import (
    LIMITS,
    Comparison,
    Side,
    greatest,
    greatest_error,
    length_error,
    summary,
)
from checks.machine import arithmetic
from checks.options import Options
from objseg.caffe.weights import read_net

SOLVER_LIMIT = 1e-5
"""The greatest difference of a weight after three steps, by the greatest of its array."""

TORCH_LIMIT = 1e-3
"""The greatest length of a difference from PyTorch's array, by the length of that array."""


def compare_net(options: Options, name: str) -> dict:
    """Compare the committed net ``name``, such as slim/train_lowres, on both devices.

    The paper's nets run one image, the slim ones two. The weights are the fillers'.
    """
    path = nets.PROTOTXT / f"{name}.prototxt"
    if path.name.startswith("train_"):
        images = 2 if name.startswith("slim/") else 1
        parameters, phase = nets.read_train_net(path, options.data, images), caffe.TRAIN
    else:
        parameters, phase = read_net(path), caffe.TEST
    nets.comparable(parameters)
    sides = []
    for use_device in (caffe.set_mode_cpu, options.use_device):
        use_device()  # where a net is made decides whether it has cuDNN's layers
        sides.append(Side(nets.load(parameters, phase), use_device))
    caffe.set_mode_cpu()
    net, _ = sides[0]
    nets.fill(net)
    net._forward(0, nets.first_computed(net) - 1)
    comparison, limits = Comparison(*sides), LIMITS[arithmetic()]
    layers, failed = summary(comparison.layers(), limits.layer, limits.layer)
    whole, failed_whole = summary(comparison.whole(), limits.values, limits.gradients)
    failed += [d._replace(array=f"{d.array} of the whole net") for d in failed_whole]
    return {
        "arithmetic": arithmetic(), "limits": limits._asdict(), "layers": layers, "whole": whole,
        "failed": [difference._asdict() for difference in failed], "passed": not failed,
    }


def compare_solvers(options: Options) -> dict:
    """Compare three steps of every type of solver in the repository, on random gradients."""
    files = [nets.PROTOTXT / f"{name}.prototxt" for name in nets.committed("solver")]
    by_type = {re.search('^type: "(.*)"', file.read_text(), re.M)[1]: file for file in files}
    worst = {}
    for kind, file in sorted(by_type.items()):
        weights = []
        for use_device in (caffe.set_mode_cpu, options.use_device):
            use_device()
            net = nets.read_train_net(nets.path("train", "lowres", "slim"), options.data, 1)
            solver, _ = nets.solver_of(options.work, file, net)
            blobs = [blob for blobs in solver.net.params.values() for blob in blobs]
            random = np.random.RandomState(1)
            for _ in range(3):
                for blob in blobs:
                    blob.diff[...] = random.randn(*blob.shape)
                solver.apply_update()
            weights.append([blob.data.copy() for blob in blobs])
        worst[kind] = greatest(map(greatest_error, *weights))
    error = greatest(worst.values())
    return {"errors": worst, "error": error, "limit": SOLVER_LIMIT, "passed": error <= SOLVER_LIMIT}


def compare_with_torch(options: Options) -> dict:
    """Compare score and gradients of the slim net with PyTorch's on the CPU, on equal weights."""
    caffe.set_mode_cpu()
    file = nets.path("train", "highres", "slim")
    parameters = nets.comparable(nets.read_train_net(file, options.data, 2))
    net = nets.load(parameters, caffe.TRAIN)
    net.forward()
    net.backward()
    inputs = ("image", "tokens", "continuation", "label", "image_index")
    weights = {f"{name} {number}": blob for name, blobs in net.params.items()
               for number, blob in enumerate(blobs)}
    arrays, results = options.work / "arrays.npz", options.work / "results.npz"
    np.savez(arrays, **{name: net.blobs[name].data for name in inputs},
             **{name: blob.data for name, blob in weights.items()})
    answer = torch_python.ask(options.torch_python, net, {
        "train": True, "frozen": [], "device": "cpu", "threads": 0, "tf32": False, "warm_up": 0,
        "iterations": 1, "arrays": str(arrays), "results": str(results),
    })
    expected = np.load(results)
    errors = {"score": length_error(expected["score"], net.blobs["upsample32s"].data)}
    for name, blob in weights.items():
        errors[f"gradient of {name}"] = length_error(expected[name], blob.diff)
    error = greatest(errors.values())
    return {"torch": answer["torch"], "errors": errors, "error": error, "limit": TORCH_LIMIT,
            "passed": error <= TORCH_LIMIT}
