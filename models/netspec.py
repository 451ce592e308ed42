"""Pieces of NetSpec that every model uses: Python layers, inputs, the net's two phases."""

import json
from collections.abc import Callable

import caffe
from caffe import layers as L
from caffe.proto.caffe_pb2 import NetParameter

from models.settings import Settings
from models.sizes import Size
from objseg.caffe.names import DATA
from objseg.data.expressions import MAX_WORDS

TEXT_INPUTS = dict(tokens=[MAX_WORDS, 1], continuation=[MAX_WORDS, 1])
"""The inputs of a net for use that reads one expression; they are reshaped for several."""


def data_layer(module: str, layer: str, tops: int, **parameters):
    """Return the tops of a Python data layer with ``parameters``."""
    return L.Python(ntop=tops, module=module, layer=layer, param_str=json.dumps(parameters))


def stream(settings: Settings, split: str, size: Size | None = None) -> dict:
    """Return the parameters that all data layers take; with ``size``, all that read expressions."""
    text = dict(words=MAX_WORDS, vocabulary=size.vocabulary) if size else {}
    return dict(
        data=settings.data, split=split, batch=settings.recipe.batch, **text, seed=settings.seed,
        workers=settings.workers,
    )


def pictures(size: Size, settings: Settings, split: str, label: int) -> dict:
    """Return the parameters of the data layers of pictures and label maps of side ``label``."""
    found = dict(input=size.input, label=label, label_rule=settings.label_rule)
    if settings.convnet:
        found["convnet"] = settings.convnet
    if settings.mirror and split == settings.train_split:
        found["mirror"] = True
    return found


def add_pictures(net: caffe.NetSpec, settings: Settings, top) -> None:
    """Name the ``top`` of such a data layer: image, or convnet where training reads that."""
    net["convnet" if settings.convnet else "image"] = top


def picture_input(size: Size, settings: Settings) -> dict:
    """Return the input of a net for use, {name: shape}: image, or convnet."""
    if not settings.convnet:
        return dict(image=[1, 3, size.input, size.input])
    return dict(convnet=[1, size.convnet_channels, size.cells, size.cells])


def unit(bottom):
    """Normalise each position's channels of ``bottom`` (N, C, H, W) to length 1."""
    return L.Python(bottom, module="l2_normalization", layer="L2NormalizationLayer")


def two_phases(name: str, settings: Settings, add: Callable) -> NetParameter:
    """Return the train/val net that ``add(net, split)`` fills, data layer first.

    The two phases differ in their data layer only, which reads another split.
    """
    def on_split(split, phase):
        net = caffe.NetSpec()
        add(net, split)
        proto = with_data_layer(net)
        proto.layer[0].include.add().phase = phase
        return proto

    train = on_split(settings.train_split, caffe.TRAIN)
    test = on_split("val", caffe.TEST)
    merged = NetParameter(name=name)
    merged.layer.extend([train.layer[0], test.layer[0], *train.layer[1:]])
    return merged


def with_data_layer(net: caffe.NetSpec) -> NetParameter:
    """Return a net whose first layer streams the data."""
    proto = net.to_proto()
    proto.layer[0].name = DATA  # NetSpec names a layer after its first top
    return proto


def one_phase(name: str, net: caffe.NetSpec) -> NetParameter:
    """Return the net for use."""
    proto = net.to_proto()
    proto.name = name
    return proto


def inputs(net: caffe.NetSpec, **shapes: list[int]) -> None:
    """Add an Input layer for every ``name=[dims]``."""
    for name, shape in shapes.items():
        net[name] = L.Input(input_param=dict(shape=dict(dim=shape)))
