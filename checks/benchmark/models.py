"""Every model of models/registry.py at work: an iteration of training from random weights."""

import numpy as np

from checks.gpu import nets
from checks.gpu.timing import peak_memory, run_iterations
from objseg.training import cost

FILES = {
    "scrc": {"features": "features"},
    "grounder": {"features": "features"},
    "mcg": {"proposals": "proposals/segments"},
}
"""Folders that a model's data layers read besides scenes: {setting: folder of the data set}."""

BATCH = {"scrc": 10, "grounder": 10}
"""Expressions in a batch of the models that read features; the others take one image."""

SHOWN = ("conv5_3", "fc7", "fc8", "lstm", "last_state")
"""Blobs whose shapes are reported, besides the data's and what goes into the loss."""


def solver_of(check, name, folder=None):
    """A solver of the model ``name`` on the data of the benchmark: (solver, NetParameter)."""
    files = {key: str(check.data / path) for key, path in FILES.get(name, {}).items()}
    parameters = nets.on_data(
        nets.read_net(check.path("train", name)), check.data, BATCH.get(name, 1), **files
    )
    solver_parameters = nets.read_solver(check.path("solver", name))
    return nets.make_solver(folder or check.work, solver_parameters, parameters), parameters


def train_model(check, name):
    """Train the model ``name`` from its fillers for some iterations; figures of one iteration."""
    check.device()
    solver, parameters = solver_of(check, name)
    net, frozen = solver.net, cost.frozen_layers(parameters)
    result = run_iterations(solver, check.iterations)
    kind = nets.read_solver(check.path("solver", name)).type
    return {
        **result, **peak_memory(), "operations": cost.operations(net, frozen),
        "shapes": shapes(net),
        "parameters": sum(blob.count for blobs in net.params.values() for blob in blobs),
        "counted": cost.training_memory(net, 1, kind, frozen).total(1), "columns": columns(net),
        "passed": bool(np.isfinite(result["losses"]).all()),
    }


def columns(net):
    """Bytes of what im2col makes of one item: on a CPU every convolution keeps its own.

    A value of the smaller of its two maps stands for a window of all channels of the larger one.
    A 1x1 convolution takes its input as it is.
    """
    total = 0
    for name, layer in zip(net._layer_names, net.layers):
        if layer.type in ("Convolution", "Deconvolution"):
            ends = [net.blobs[ends[name][0]] for ends in (net.bottom_names, net.top_names)]
            larger, smaller = ends if layer.type == "Convolution" else reversed(ends)
            window = np.prod(layer.blobs[0].shape[2:])
            if window > 1:
                total += larger.shape[1] * window * np.prod(smaller.shape[2:])
    return cost.FLOAT * int(total)


def shapes(net):
    """Shapes of what a net reads, of its main layers, and of what its loss compares."""
    names = list(net.top_names["data"])
    names += [name for name in SHOWN if name in net.blobs]
    names += net.bottom_names[net._layer_names[-1]][:1]
    return {name: list(net.blobs[name].shape) for name in dict.fromkeys(names)}
