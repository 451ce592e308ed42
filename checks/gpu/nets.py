"""The nets of the repository, ready to run on a few scenes or on random inputs."""

import importlib
import json

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.caffe.prototxt import prototxt
from objseg.caffe.weights import read_net
from objseg.files import REPOSITORY, write_text

PROTOTXT = REPOSITORY / "prototxt"


def committed(kind):
    """Sorted paths of the committed files of a kind: train, deploy or solver."""
    return sorted(PROTOTXT.rglob(f"{kind}_*.prototxt"))


def label(path):
    """The short name of a committed file: slim/train_lowres."""
    return path.relative_to(PROTOTXT).with_suffix("").as_posix()


def read_solver(path):
    """Read a solver file as a SolverParameter."""
    return text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())


def layer_types(names):
    """The types of the layers that compute something in the nets of these short names, a set."""
    return {layer.type for name in names
            for layer in read_net(PROTOTXT / f"{name}.prototxt").layer if layer.bottom}


def expressions_per_image(parameters):
    """How many expressions share an image in the batches of a train net."""
    return max(settings.get("expressions_per_image", 1) for settings in
               (json.loads(layer.python_param.param_str) for layer in _data_layers(parameters)))


def on_data(parameters, data, images, **files):
    """Point the data layers of a NetParameter at the data set ``data``, ``images`` a batch.

    ``files`` are further settings of the layers, paths: their features or proposals. What else the
    layers are set to, such as the number of their workers, stays.
    """
    for layer in _data_layers(parameters):
        settings = json.loads(layer.python_param.param_str)
        given = dict(data=str(data), split="train", **files,
                     batch=images * settings.get("expressions_per_image", 1))
        settings.update((key, given[key]) for key in given if key in settings)
        layer.python_param.param_str = json.dumps(settings)
    return parameters


def inputs_for_files(parameters, path):
    """Turn the data layers that read features or proposals into Inputs of the same shapes.

    Those files take hours to make. ``path`` is where the NetParameter lies: the widths of the
    features are those of deploy_crops.prototxt beside it.
    """
    for layer in _data_layers(parameters):
        python = layer.python_param
        given = json.loads(python.param_str)
        if not {"features", "proposals"} & set(given):  # images alone
            continue
        settings = getattr(importlib.import_module(python.module), python.layer).Settings(**given)
        crops = {crop.name: crop.convolution_param.num_output
                 for crop in read_net(path.with_name("deploy_crops.prototxt")).layer}
        widths = (crops["fc7"], crops["fc8"]) if "features" in given else ()
        for shape in settings.shapes(*widths).values():
            layer.input_param.shape.add().dim.extend(shape)
        layer.type = "Input"
        layer.ClearField("python_param")
    return parameters


def _data_layers(parameters):
    return [layer for layer in parameters.layer if layer.type == "Python" and not layer.bottom]


def comparable(parameters):
    """Change a NetParameter so that two devices must agree on all of it.

    Every weight is learnt, so every gradient is computed; and dropout, which draws other numbers on
    another device, drops nothing.
    """
    for layer in parameters.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 1e-9  # Caffe does not take 0
        for param in layer.param if layer.type != "BatchNorm" else ():  # its are no weights
            param.lr_mult = 1
    return parameters


def load(parameters, folder, phase):
    """Build the net of a NetParameter; its file lies in ``folder``. The fillers' seed is 1."""
    path = folder / "net.prototxt"
    write_text(path, str(parameters))
    caffe.set_random_seed(1)
    return caffe.Net(str(path), phase)


def make_solver(folder, parameters, net_parameters):
    """A solver of the values of a committed file on the net given; it starts from the fillers."""
    for field in ("net", "weights", "test_iter", "test_interval", "snapshot", "display"):
        parameters.ClearField(field)
    parameters.random_seed = 1
    parameters.snapshot_prefix = str(folder / "snapshot")
    parameters.net = str(folder / "train.prototxt")
    write_text(parameters.net, prototxt(net_parameters))
    path = folder / "solver.prototxt"
    write_text(path, str(parameters))
    return caffe.get_solver(str(path))


def shapes(net):
    """{layer: [shapes of its weights]} of a net."""
    return {name: [list(blob.shape) for blob in blobs] for name, blobs in net.params.items()}


def fill(net, parameters, seed=1):
    """Give every Input blob random values of the kind that the layer above it wants."""
    random = np.random.RandomState(seed)
    for layer in parameters.layer:
        for name in layer.top if layer.type == "Input" else ():
            blob = net.blobs[name]
            blob.data[...] = _values(random, parameters, name, tuple(blob.shape))


def _values(random, parameters, name, shape):
    user = next(layer for layer in parameters.layer if name in layer.bottom)
    position = list(user.bottom).index(name)
    if user.type == "Embed":  # rows
        return random.randint(user.embed_param.input_dim, size=shape)
    if user.type == "LSTM" and position == 1:  # the continuation indicator
        going_on = random.randint(2, size=shape)
        going_on[0] = 0  # else Caffe goes on from the states of the pass before
        return going_on
    if user.type == "BatchReindex" and position == 1:  # the first item
        return np.zeros(shape)
    if user.type.endswith("Loss") and position == 1:  # the first two classes, no and yes
        return random.randint(2, size=shape)
    return random.randn(*shape) * (50 if len(shape) == 4 and shape[1] == 3 else 1)
