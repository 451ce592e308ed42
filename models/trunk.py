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


def add_trunk(net, size, freeze_convnet=False, last="fc8", pad=3, dropout=False):
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
