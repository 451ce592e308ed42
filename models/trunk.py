"""VGG-16 with fc6-8 as convolutions: the spatial feature map of the paper's section 3.1."""

from caffe import layers as L
from caffe import params as P

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each of VGG-16's five blocks."""


def learnt(frozen=False):
    """Multipliers of a layer's weights and bias: decay on weights only; nothing when frozen."""
    if frozen:
        return [dict(lr_mult=0, decay_mult=0), dict(lr_mult=0, decay_mult=0)]
    return [dict(lr_mult=1, decay_mult=1), dict(lr_mult=1, decay_mult=0)]


def convolution(bottom, channels, kernel, pad, frozen=False):
    """A convolution of stride 1 whose random start keeps the variance through the ReLUs."""
    return L.Convolution(
        bottom, num_output=channels, kernel_size=kernel, pad=pad, param=learnt(frozen),
        weight_filler=dict(type="msra"), bias_filler=dict(type="constant"),
    )


def add_trunk(net, size, freeze_convnet=False):
    """Add VGG-16 to ``net`` from ``net.image`` (N, 3, S, S); returns fc8 (N, D_im, S/32, S/32).

    Layers have VGG's names, so that its weights copy by name. fc6 pads by 3, so that its 7x7
    window keeps the 16x16 map of a 512x512 input. ``freeze_convnet`` holds conv1-5 as in the
    authors' code. There is no dropout: the authors trained without it.
    """
    top = net.image
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS, size.trunk), start=1):
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            conv = convolution(top, channels, kernel=3, pad=1, frozen=freeze_convnet)
            net[f"conv{name}"] = conv
            top = net[f"relu{name}"] = L.ReLU(conv, in_place=True)
        top = net[f"pool{block}"] = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)

    net.fc6 = convolution(top, size.fc[0], kernel=7, pad=3)
    net.relu6 = L.ReLU(net.fc6, in_place=True)
    net.fc7 = convolution(net.relu6, size.fc[1], kernel=1, pad=0)
    net.relu7 = L.ReLU(net.fc7, in_place=True)
    net.fc8 = convolution(net.relu7, size.fc[2], kernel=1, pad=0)
    return net.fc8
