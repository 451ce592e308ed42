"""The data layer of a train net, and the net's two phases."""

import json

import caffe
from caffe import layers as L

from models.sizes import WORDS


def data_layer(module, layer, tops, size, settings, split, **parameters):
    """Return the tops of the Python data layer ``layer``; every one streams expressions.

    ``parameters`` are those of the layer besides what all of them take.
    """
    return L.Python(
        ntop=tops, module=module, layer=layer,
        param_str=json.dumps(dict(
            data=settings.data, split=split, batch=settings.recipe.batch, words=WORDS,
            vocabulary=size.vocabulary, seed=settings.seed, workers=settings.workers,
            **parameters,
        )),
    )


def image_layer(tops, size, settings, split, label, **parameters):
    """The data layer of the nets that see whole images; one top more when images are shared.

    ``tops`` counts image, label and the text, ``label`` is the side of the label map.
    """
    expressions = settings.recipe.expressions_per_image
    return data_layer(
        "ours_data", "OursDataLayer", tops + (expressions > 1), size, settings, split,
        expressions_per_image=expressions, input=size.input, label=label,
        label_rule=settings.label_rule, **parameters,
    )


def two_phases(name, settings, add):
    """The train/val net that ``add(net, split)`` fills, data layer first, as a NetParameter.

    The two phases differ in their data layer only, which reads another split.
    """
    def on_split(split, phase):
        net = caffe.NetSpec()
        add(net, split)
        proto = net.to_proto()
        proto.layer[0].name = "data"  # NetSpec names a layer after its first top
        proto.layer[0].include.add().phase = phase
        return proto

    train = on_split(settings.train_split, caffe.TRAIN)
    test = on_split("val", caffe.TEST)
    merged = type(train)(name=name)
    merged.layer.extend([train.layer[0], test.layer[0], *train.layer[1:]])
    return merged


def one_phase(name, net):
    """The net for use, a NetSpec, as a NetParameter."""
    proto = net.to_proto()
    proto.name = name
    return proto


def inputs(net, **shapes):
    """Add an Input layer for every ``name=[dims]``."""
    for name, shape in shapes.items():
        net[name] = L.Input(input_param=dict(shape=dict(dim=shape)))
