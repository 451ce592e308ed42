"""VGG-16 with fc6-8 as convolutions: feature maps of images (section 3.1) and of crops."""

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto.caffe_pb2 import NetParameter

from models.netspec import inputs, one_phase
from models.sizes import STRIDE, Size

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each of VGG-16's five blocks."""

FC6 = 7
"""Side of fc6's window in cells."""


def learnt(frozen: bool = False) -> list[dict]:
    """Return the multipliers of a layer's weights and bias: decay on weights only; 0 if frozen."""
    if frozen:
        return [dict(lr_mult=0, decay_mult=0), dict(lr_mult=0, decay_mult=0)]
    return [dict(lr_mult=1, decay_mult=1), dict(lr_mult=1, decay_mult=0)]


def convolution(bottom, channels: int, kernel: int, pad: int, frozen: bool = False):
    """Return a convolution of stride 1 whose random start keeps the variance through the ReLUs."""
    return L.Convolution(
        bottom, num_output=channels, kernel_size=kernel, pad=pad, param=learnt(frozen),
        weight_filler=dict(type="msra"), bias_filler=dict(type="constant"),
    )


def add_trunk(
    net: caffe.NetSpec, size: Size, freeze_convnet: bool = False, last: str = "fc8", pad: int = 3,
    dropout: bool = False,
):
    """Add VGG-16 to ``net`` from ``net.image`` (N, 3, S, S); returns the maps of ``last``.

    Layers have VGG's names, so that its weights copy by name. fc6 pads by 3, so that its 7x7
    window keeps the 16x16 map of a 512x512 input; with ``pad`` 0 a 224x224 image gives one cell,
    as in the classifier. ``last`` is "fc7" (after its ReLU) or "fc8". ``freeze_convnet`` holds
    conv1-5 as in the authors' code, who also trained without ``dropout``.
    """
    top = net.image
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS, size.trunk), start=1):
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            conv = convolution(top, channels, kernel=3, pad=1, frozen=freeze_convnet)
            net[f"conv{name}"] = conv
            top = net[f"relu{name}"] = L.ReLU(conv, in_place=True)
        top = net[f"pool{block}"] = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)

    for index, kernel, padding in ((6, 7, pad), (7, 1, 0)):
        layer = net[f"fc{index}"] = convolution(top, size.fc[index - 6], kernel, padding)
        top = net[f"relu{index}"] = L.ReLU(layer, in_place=True)
        if dropout:
            top = net[f"drop{index}"] = L.Dropout(top, dropout_ratio=0.5, in_place=True)
    if last == "fc8":
        top = net.fc8 = convolution(top, size.fc[2], kernel=1, pad=0)
    return top


def add_crop_trunk(net: caffe.NetSpec, size: Size, freeze_convnet: bool = False):
    """Add the trunk to ``net.image`` (R, 3, C, C), C = ``size.crop``; returns fc8 (R, D, 1, 1).

    fc6's window covers the whole crop: exactly at 224x224 (7 cells), with zeros around it where a
    crop has fewer cells.
    """
    return add_trunk(net, size, freeze_convnet, pad=(FC6 - size.crop // STRIDE) // 2)


def crops_net(size: Size) -> NetParameter:
    """Return the net that turns crops into fc7 and fc8, the features of SCRC and GroundeR.

    Both are multiplied by ``size.feature_scale`` on their way out.
    """
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.crop, size.crop])
    add_crop_trunk(net, size)
    net.fc7_features = L.Power(net.relu7, scale=size.feature_scale)
    net.fc8_features = L.Power(net.fc8, scale=size.feature_scale)
    return one_phase(f"crops {size.name}", net)
