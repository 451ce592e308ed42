"""The committed nets, ready to run on the scenes or on random inputs."""

import json
from collections.abc import Iterable
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from objseg.caffe.prototxt import build_net
from objseg.caffe.weights import read_net
from objseg.files import REPOSITORY
from objseg.training.solver import make_solver

PROTOTXT = REPOSITORY / "prototxt"


def path(kind: str, model: str, size: str) -> Path:
    """Return the committed file of a ``kind`` (train, deploy, solver) for a size (paper, slim)."""
    folder = PROTOTXT if size == "paper" else PROTOTXT / size
    return folder / f"{kind}_{model}.prototxt"


def committed(*kinds: str) -> list[str]:
    """List the short names, such as slim/train_lowres, of all files of ``kinds`` in turn."""
    return [file.relative_to(PROTOTXT).with_suffix("").as_posix()
            for kind in kinds for file in sorted(PROTOTXT.rglob(f"{kind}_*.prototxt"))]


def layer_types(names: Iterable[str]) -> set[str]:
    """Return the types of the layers with inputs in the nets of these short names."""
    return {layer.type for name in names
            for layer in read_net(PROTOTXT / f"{name}.prototxt").layer if layer.bottom}


def first_computed(net: caffe.Net) -> int:
    """Return the index of the first layer with inputs; data layers and Inputs come before it."""
    return next(i for i, name in enumerate(net._layer_names) if net.bottom_names[name])


def read_train_net(file: Path, data: Path, images: int) -> caffe_pb2.NetParameter:
    """Read a train net and let it read batches of ``images`` of the scenes in ``data``.

    A net that reads features has batches of ``images`` expressions; its features are in
    ``data``/features, in a folder named as that of ``file``.
    """
    net = read_net(file)
    for layer in net.layer:
        if layer.type == "Python" and not layer.bottom:
            settings = json.loads(layer.python_param.param_str)
            given = {
                "data": data, "split": "train", "features": data / "features" / file.parent.name,
                "proposals": data / "proposals" / "segments",
            }
            settings.update((key, str(given[key])) for key in given if key in settings)
            settings["batch"] = images * settings.get("expressions_per_image", 1)
            layer.python_param.param_str = json.dumps(settings)
    return net


def comparable(parameters: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """Change a net so that two devices must agree on all of it, and return it.

    Every weight is learnt, so every gradient is computed; dropout, which draws other numbers on
    another device, drops nothing.
    """
    for layer in parameters.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 1e-9  # Caffe does not take 0
        if layer.type != "BatchNorm":  # whose blobs are statistics
            for param in layer.param:
                param.lr_mult = 1
    return parameters


def load(parameters: caffe_pb2.NetParameter, phase: int) -> caffe.Net:
    """Build a net. Its weights are the fillers', the same each time."""
    caffe.set_random_seed(1)
    return build_net(parameters, phase)


def solver_of(
    folder: Path, file: Path, net: caffe_pb2.NetParameter
) -> tuple[caffe._caffe.Solver, caffe_pb2.SolverParameter]:
    """Build the solver of a committed file on ``net``, from the fillers' weights.

    Returns it and its parameters. ``folder`` takes the file that Caffe reads.
    """
    return make_solver(file.read_text(), net, (), str(folder / "snapshot"), weights=False)


def fill(net: caffe.Net) -> None:
    """Give every Input blob random values of the kind that its name tells."""
    random = np.random.RandomState(1)
    for name in net.inputs:
        data = net.blobs[name].data
        if name == "tokens":
            data[...] = random.randint(1000, size=data.shape)  # every vocabulary has as many
        elif name == "continuation":
            data[...] = random.randint(2, size=data.shape)
            data[0] = 0  # else Caffe continues from the states of the last pass
        elif name == "words" or name.endswith("_index"):
            data[...] = 0  # the first one
        else:
            data[...] = random.randn(*data.shape) * (50 if name == "image" else 1)
