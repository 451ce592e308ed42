"""VGG-16 as a classifier sees pictures: one feature vector for each crop of an image."""

import caffe
from caffe import layers as L

from models.data import inputs, one_phase
from models.sizes import STRIDE
from models.trunk import add_trunk

FC6 = 7
"""Side of fc6's window in cells."""


def add_crop_trunk(net, size, freeze_convnet=False):
    """Add the trunk to ``net.image`` (R, 3, C, C), C = ``size.crop``; returns fc8 (R, D, 1, 1).

    fc6's window covers the whole crop: exactly at 224x224 (7 cells), with zeros around it where a
    crop has fewer cells.
    """
    return add_trunk(net, size, freeze_convnet, pad=(FC6 - size.crop // STRIDE) // 2)


def crops_net(size):
    """The net that turns crops into fc7 and fc8, the features of SCRC and GroundeR.

    Both are multiplied by ``size.feature_scale`` on their way out.
    """
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.crop, size.crop])
    add_crop_trunk(net, size)
    net.fc7_features = L.Power(net.relu7, scale=size.feature_scale)
    net.fc8_features = L.Power(net.fc8, scale=size.feature_scale)
    return one_phase(f"crops {size.name}", net)
