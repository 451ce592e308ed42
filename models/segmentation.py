"""The paper's model in its two stages, put together from the shared blocks (section 3)."""

import json

import caffe
from caffe import layers as L

from models.data import image_layer, inputs, one_phase, two_phases
from models.fusion import add_fusion
from models.language import add_language, lstm
from models.sizes import WORDS
from models.trunk import add_trunk
from models.upsampling import add_upsampling


def add_model(net, size, settings, image_index=None):
    """Add the whole model of a stage to a net that has image, tokens and continuation.

    Returns the response map: (N, 1, S/32, S/32) for ``lowres``, (N, 1, S, S) for ``highres``.
    """
    features = add_trunk(net, size, freeze_convnet=settings.freeze_convnet)
    expression = add_language(net, size)
    score = add_fusion(net, size, features, expression, image_index, spatial=settings.spatial)
    return add_upsampling(net, score) if settings.model == "highres" else score


def train_net(size, settings):
    """The train/val net of a stage as a NetParameter."""
    def add(net, split):
        label = size.input if settings.model == "highres" else size.cells
        tops = image_layer(4, size, settings, split, label)
        net.image, net.tokens, net.continuation, net.label = tops[:4]
        if len(tops) == 5:
            net.image_index = tops[4]
        score = add_model(net, size, settings, *tops[4:])
        weights = dict(foreground=settings.foreground, background=settings.background)
        net.loss = L.Python(
            score, net.label, module="weighted_logistic_loss", layer="WeightedLogisticLossLayer",
            loss_weight=1, param_str=json.dumps(weights),
        )

    return two_phases(f"{settings.model} {size.name}", settings, add)


def deploy_net(size, settings):
    """The net for use as a NetParameter: images and expressions in, response maps out.

    ``image_index`` says which image each expression is about, so the trunk runs once an image
    however many expressions there are.
    """
    net = caffe.NetSpec()
    inputs(
        net, image=[1, 3, size.input, size.input], tokens=[WORDS, 1], continuation=[WORDS, 1],
        image_index=[1],
    )
    add_model(net, size, settings, net.image_index)
    return one_phase(f"{settings.model} {size.name}", net)


def starting_net(size):
    """The layers whose start is given rather than drawn: the trunk and the LSTM."""
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.input, size.input])
    add_trunk(net, size)
    inputs(net, words=[WORDS, 1, size.embedding], continuation=[WORDS, 1])
    net.lstm = lstm(net.words, net.continuation, size.hidden)
    return net.to_proto()
