"""The nets of the two stages, for training and for use, put together from the shared blocks."""

import json

import caffe
from caffe import layers as L

from models.fusion import add_fusion
from models.language import add_language, lstm
from models.sizes import WORDS
from models.trunk import add_trunk
from models.upsampling import add_upsampling


def add_model(net, size, stage, settings, image_index=None):
    """Add the whole model of a stage to a net that has image, tokens and continuation.

    Returns the response map: (N, 1, S/32, S/32) for ``lowres``, (N, 1, S, S) for ``highres``.
    """
    features = add_trunk(net, size, freeze_convnet=settings.freeze_convnet)
    expression = add_language(net, size)
    score = add_fusion(net, size, features, expression, image_index, spatial=settings.spatial)
    return add_upsampling(net, score) if stage == "highres" else score


def data_layer(size, stage, settings, split):
    """Return the data layer's tops (image, tokens, continuation, label[, image_index])."""
    shared = settings.expressions_per_image > 1
    return L.Python(
        ntop=5 if shared else 4, module="referit_data", layer="ReferitDataLayer",
        param_str=json.dumps(dict(
            data=settings.data, split=split, batch=settings.batch,
            expressions_per_image=settings.expressions_per_image,
            input=size.input, words=WORDS, vocabulary=size.vocabulary,
            label=size.input if stage == "highres" else size.cells,
            label_rule=settings.label_rule, seed=settings.seed, workers=settings.workers,
        )),
    )


def train_net(size, stage, settings):
    """The train/val net of a stage as a NetParameter.

    The two phases differ in their data layer only, which reads another split.
    """
    train = _net_on_split(size, stage, settings, settings.train_split, caffe.TRAIN)
    test = _net_on_split(size, stage, settings, "val", caffe.TEST)
    merged = type(train)(name=f"{stage} {size.name}")
    merged.layer.extend([train.layer[0], test.layer[0], *train.layer[1:]])
    return merged


def _net_on_split(size, stage, settings, split, phase):
    net = caffe.NetSpec()
    tops = data_layer(size, stage, settings, split)
    net.image, net.tokens, net.continuation, net.label = tops[:4]
    if len(tops) == 5:
        net.image_index = tops[4]
    score = add_model(net, size, stage, settings, *tops[4:])
    weights = dict(foreground=settings.foreground, background=settings.background)
    net.loss = L.Python(
        score, net.label, module="weighted_logistic_loss", layer="WeightedLogisticLossLayer",
        loss_weight=1, param_str=json.dumps(weights),
    )
    proto = net.to_proto()
    proto.layer[0].name = "data"  # NetSpec names a layer after its first top
    proto.layer[0].include.add().phase = phase
    return proto


def deploy_net(size, stage, settings):
    """The net for use as a NetParameter: images and expressions in, response maps out.

    ``image_index`` says which image each expression is about, so the trunk runs once an image
    however many expressions there are.
    """
    net = caffe.NetSpec()
    net.image = L.Input(input_param=dict(shape=dict(dim=[1, 3, size.input, size.input])))
    net.tokens = L.Input(input_param=dict(shape=dict(dim=[WORDS, 1])))
    net.continuation = L.Input(input_param=dict(shape=dict(dim=[WORDS, 1])))
    net.image_index = L.Input(input_param=dict(shape=dict(dim=[1])))
    add_model(net, size, stage, settings, net.image_index)
    proto = net.to_proto()
    proto.name = f"{stage} {size.name}"
    return proto


def starting_net(size):
    """The layers whose start is given rather than drawn: the trunk and the LSTM."""
    net = caffe.NetSpec()
    net.image = L.Input(input_param=dict(shape=dict(dim=[1, 3, size.input, size.input])))
    add_trunk(net, size)
    net.words = L.Input(input_param=dict(shape=dict(dim=[WORDS, 1, size.embedding])))
    net.continuation = L.Input(input_param=dict(shape=dict(dim=[WORDS, 1])))
    net.lstm = lstm(net.words, net.continuation, size)
    return net.to_proto()
