"""The paper's model in its two stages (section 3, Figure 2).

The trunk describes every cell of the image, the LSTM encodes the expression, a two-layer classifier
scores each cell, and in the high resolution stage a deconvolution brings the scores to pixels.
"""

import json

import caffe
from caffe import layers as L
from caffe.proto.caffe_pb2 import NetParameter

from models.lstm import add_language, lstm
from models.netspec import (
    TEXT_INPUTS,
    add_pictures,
    data_layer,
    inputs,
    one_phase,
    picture_input,
    pictures,
    stream,
    two_phases,
    unit,
)
from models.settings import Settings
from models.sizes import Size
from models.vgg16 import add_trunk, learnt
from objseg.data.expressions import MAX_WORDS


def add_model(net: caffe.NetSpec, size: Size, settings: Settings, image_index=None):
    """Add the whole model of a stage to a net that has image, tokens and continuation.

    In place of image the net may have convnet, see :func:`models.vgg16.add_trunk`. Returns the
    response map: (N, 1, S/32, S/32) for ``lowres``, (N, 1, S, S) for ``highres``.
    """
    features = add_trunk(
        net, size, settings.freeze_convnet, dropout=size.dropout,
        convnet=net.tops.get("convnet"),
    )
    expression = add_language(net, size)
    score = add_fusion(net, size, features, expression, image_index, spatial=settings.spatial)
    return add_upsampling(net, score, size.stride) if settings.model == "highres" else score


def add_fusion(
    net: caffe.NetSpec, size: Size, features, expression, image_index=None, spatial: int = 2
):
    """Score every cell; returns the response map (N, 1, h, w).

    ``features`` (I, D_im, h, w) are the trunk's local descriptors and ``expression``
    (N, D_text, 1, 1) the encoded expressions. ``image_index`` (N,) says which image each
    expression is about; without it expression n belongs to image n. ``spatial`` is the number of
    coordinate channels: 2 as in the paper, 8 as in the authors' code.
    """
    maps = net.features_unit = unit(features)
    if image_index is not None:
        maps = net.features_shared = L.BatchReindex(maps, image_index)  # (N, D_im, h, w)
    net.coordinates = L.Python(
        maps, module="spatial_coordinates", layer="SpatialCoordinatesLayer",
        param_str=json.dumps(dict(channels=spatial)),
    )  # (N, 2, h, w)
    # a row first: the rows are then copied whole, not number by number
    net.expression_row = L.Tile(expression, axis=3, tiles=size.cells)
    net.expression_map = L.Tile(net.expression_row, axis=2, tiles=size.cells)
    net.fused = L.Concat(maps, net.expression_map, net.coordinates)  # (N, D*, h, w)
    return add_classifier(net, size, net.fused)


def add_classifier(net: caffe.NetSpec, size: Size, fused):
    """Classify ``fused`` (N, D*, h, w) by two 1x1 convolutions; returns (N, 1, h, w)."""
    # Its inputs are unit vectors, so weights of unit variance give activations of unit variance;
    # the authors' code starts from a standard normal too. (Theirs is one in mlp_l2 as well, where
    # it makes scores of +-20.)
    net.mlp_l1 = L.Convolution(
        fused, num_output=size.classifier, kernel_size=1, param=learnt(),
        weight_filler=dict(type="gaussian", std=1), bias_filler=dict(type="constant"),
    )
    net.mlp_relu1 = L.ReLU(net.mlp_l1, in_place=True)
    net.mlp_l2 = L.Convolution(
        net.mlp_relu1, num_output=1, kernel_size=1, param=learnt(),
        weight_filler=dict(type="xavier"), bias_filler=dict(type="constant"),
    )
    return net.mlp_l2


def add_upsampling(net: caffe.NetSpec, score, stride: int, learnt: bool = True):
    """Upsample ``score`` (N, 1, h, w) to (N, 1, 32 h, 32 w) by a 64x64 filter of ``stride`` 32.

    The filter starts as bilinear interpolation and, unless ``learnt`` is False, learns from there;
    there is no bias.
    """
    rate = 1 if learnt else 0
    net.upsample32s = L.Deconvolution(
        score, param=[dict(lr_mult=rate, decay_mult=rate)],
        convolution_param=dict(
            num_output=1, kernel_size=2 * stride, stride=stride, pad=stride // 2, bias_term=False,
            weight_filler=dict(type="bilinear"),
        ),
    )
    return net.upsample32s


def train_net(size: Size, settings: Settings) -> NetParameter:
    """Return the train/val net of a stage."""
    def add(net, split):
        label = size.input if settings.model == "highres" else size.cells
        expressions, image_index = settings.recipe.expressions_per_image, None
        tops = data_layer(
            "ours_data", "OursDataLayer", 4 if expressions == 1 else 5,
            **stream(settings, split, size), expressions_per_image=expressions,
            **pictures(size, settings, split, label),
        )
        add_pictures(net, settings, tops[0])
        net.tokens, net.continuation, net.label = tops[1:4]
        if expressions > 1:
            image_index = net.image_index = tops[4]
        score = add_model(net, size, settings, image_index)
        weights = dict(foreground=settings.foreground, background=settings.background)
        if settings.soft_iou:
            weights["soft_iou"] = settings.soft_iou
        net.loss = L.Python(
            score, net.label, module="weighted_logistic_loss", layer="WeightedLogisticLossLayer",
            loss_weight=1, param_str=json.dumps(weights),
        )

    return two_phases(f"{settings.model} {size.name}", settings, add)


def deploy_net(size: Size, settings: Settings) -> NetParameter:
    """Return the net for use: images and expressions in, response maps out.

    ``image_index`` says which image each expression is about, so the trunk runs once per image
    however many expressions there are. With ``settings.convnet`` the input is not ``image`` but
    ``convnet``, what the convolutions give of it.
    """
    net = caffe.NetSpec()
    inputs(net, **picture_input(size, settings), **TEXT_INPUTS, image_index=[1])
    add_model(net, size, settings, net.image_index)
    return one_phase(f"{settings.model} {size.name}", net)


def starting_net(size: Size) -> NetParameter:
    """Return the layers whose start is given rather than drawn: the trunk and the LSTM."""
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.input, size.input])
    add_trunk(net, size)
    inputs(net, words=[MAX_WORDS, 1, size.embedding], continuation=[MAX_WORDS, 1])
    net.lstm = lstm(net.words, net.continuation, size.hidden)
    return net.to_proto()
