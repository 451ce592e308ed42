"""VGG-16 with fc6-8 as convolutions: feature maps of images (section 3.1) and of crops."""

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto.caffe_pb2 import NetParameter

from models.netspec import inputs, one_phase
from models.sizes import Size

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each of VGG-16's five blocks."""

POOL4_SCALE, CONV5_3_SCALE = 1 / 60, 1 / 20
"""Bring the values of both layers to about 1 (VGG-16's weights, photographs)."""


def learnt(frozen: bool = False) -> list[dict]:
    """Return the multipliers of a layer's weights and bias: decay on weights only; 0 if frozen."""
    if frozen:
        return [dict(lr_mult=0, decay_mult=0), dict(lr_mult=0, decay_mult=0)]
    return [dict(lr_mult=1, decay_mult=1), dict(lr_mult=1, decay_mult=0)]


def convolution(
    bottom, channels: int, kernel: int, pad: int, frozen: bool = False, dilation: int = 1
):
    """Return a convolution of stride 1 whose random start keeps the variance through the ReLUs."""
    dilated = dict(dilation=dilation) if dilation > 1 else {}  # left out where it is the default
    return L.Convolution(
        bottom, num_output=channels, kernel_size=kernel, pad=pad, param=learnt(frozen),
        weight_filler=dict(type="msra"), bias_filler=dict(type="constant"), **dilated,
    )


def add_convnet(net: caffe.NetSpec, size: Size, frozen: bool = False):
    """Add VGG-16's convolutions to ``net`` from ``net.image`` (N, 3, S, S); returns their maps.

    Layers have VGG's names, so that its weights copy by name. At a stride of 32 pixels the maps are
    pool5, as in the paper (section 3.1). At 16, where cells are half as wide, they are pool4 and
    conv5_3 together, scaled to about the same size; pool5 is left out. ``frozen`` holds the
    convolutions as in the authors' code.
    """
    top = net.image
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS, size.trunk), start=1):
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            conv = convolution(top, channels, kernel=3, pad=1, frozen=frozen)
            net[f"conv{name}"] = conv
            top = net[f"relu{name}"] = L.ReLU(conv, in_place=True)
        if size.stride == 16 and block == len(CONVOLUTIONS):
            net.pool4_scaled = L.Power(net.pool4, scale=POOL4_SCALE)
            net.conv5_3_scaled = L.Power(top, scale=CONV5_3_SCALE)
            net.convnet = L.Concat(net.pool4_scaled, net.conv5_3_scaled)
            return net.convnet
        top = net[f"pool{block}"] = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    return top


def add_trunk(
    net: caffe.NetSpec, size: Size, freeze_convnet: bool = False, last: str = "fc8",
    pad: int | None = None, dropout: float = 0, convnet=None,
):
    """Add the whole of VGG-16 to ``net``: its convolutions, and fc6-8 as convolutions.

    Returns the maps of ``last``, "fc7" (after its ReLU) or "fc8". ``convnet`` are the maps of the
    convolutions where they are an input of the net; else :func:`add_convnet` adds these layers.
    fc6 pads by ``pad``, by default so that it keeps the side of its input: 16x16 cells of a 512x512
    image; with 0 its 7x7 window makes one cell of a 224x224 image, as in the classifier.
    ``dropout`` is the share of the outputs of fc6 and fc7 that training drops.
    """
    if convnet is None:
        convnet = add_convnet(net, size, freeze_convnet)
    if pad is None:
        pad = size.fc6_window // 2
    top = convnet
    fc7_pad = size.fc7_window // 2 * size.fc7_dilation
    for index, kernel, padding, dilation in (
        (6, size.fc6_window, pad, 1), (7, size.fc7_window, fc7_pad, size.fc7_dilation),
    ):
        layer = net[f"fc{index}"] = convolution(
            top, size.fc[index - 6], kernel, padding, dilation=dilation
        )
        top = net[f"relu{index}"] = L.ReLU(layer, in_place=True)
        if dropout:
            top = net[f"drop{index}"] = L.Dropout(top, dropout_ratio=dropout, in_place=True)
    if last == "fc8":
        top = net.fc8 = convolution(top, size.fc[2], kernel=1, pad=0)
    return top


def add_crop_trunk(net: caffe.NetSpec, size: Size, freeze_convnet: bool = False):
    """Add the trunk to ``net.image`` (R, 3, C, C), C = ``size.crop``; returns fc8 (R, D, 1, 1).

    At a stride of 32 fc6's window covers the whole crop: exactly at 224x224 (7 cells), with zeros
    around it where a crop has fewer cells. At 16 the cells of fc8 are averaged.
    """
    if size.stride == 32:
        return add_trunk(
            net, size, freeze_convnet, pad=(size.fc6_window - size.crop // size.stride) // 2
        )
    net.crop_features = L.Pooling(
        add_trunk(net, size, freeze_convnet), pool=P.Pooling.AVE, global_pooling=True
    )
    return net.crop_features


def convnet_net(size: Size) -> NetParameter:
    """Return the net of the convolutions alone: pictures (N, 3, S, S) in, their maps out."""
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.input, size.input])
    add_convnet(net, size)
    return one_phase(f"convnet {size.name}", net)


def crops_net(size: Size) -> NetParameter:
    """Return the net that turns crops into fc7 and fc8, the features of SCRC and GroundeR.

    Both are multiplied by ``size.feature_scale`` on their way out. Where the pretrained trunk has
    no fc7 and fc8, the mean of the convolutions' maps over the crop stands for each.
    """
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.crop, size.crop])
    if "fc7" in size.start_lacks:
        net.convnet_mean = L.Pooling(
            add_convnet(net, size), pool=P.Pooling.AVE, global_pooling=True
        )
        fc7 = fc8 = net.convnet_mean
    else:
        add_crop_trunk(net, size)
        fc7, fc8 = net.relu7, net.fc8
    net.fc7_features = L.Power(fc7, scale=size.feature_scale)
    net.fc8_features = L.Power(fc8, scale=size.feature_scale)
    return one_phase(f"crops {size.name}", net)
