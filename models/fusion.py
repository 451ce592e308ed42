"""The fully convolutional classifier over image, expression and position (paper section 3.3)."""

import json

from caffe import layers as L

from models.trunk import learnt


def add_fusion(net, size, features, expression, image_index=None, spatial=2):
    """Score every cell; returns the response map (N, 1, h, w).

    ``features`` (I, D_im, h, w) are the trunk's local descriptors and ``expression``
    (N, D_text, 1, 1) the encoded expressions. ``image_index`` (N,) says which image each
    expression is about; without it expression n belongs to image n. ``spatial`` is the number of
    coordinate channels: 2 as in the paper, 8 as in the authors' code.
    """
    net.features_unit = L.Python(features, module="l2_normalization", layer="L2NormalizationLayer")
    maps = net.features_unit
    if image_index is not None:
        maps = net.features_shared = L.BatchReindex(maps, image_index)  # (N, D_im, h, w)
    net.coordinates = L.Python(
        maps, module="spatial_coordinates", layer="SpatialCoordinatesLayer",
        param_str=json.dumps(dict(channels=spatial)),
    )  # (N, 2, h, w)
    net.expression_rows = L.Tile(expression, axis=2, tiles=size.cells)
    net.expression_map = L.Tile(net.expression_rows, axis=3, tiles=size.cells)
    net.fused = L.Concat(maps, net.expression_map, net.coordinates)  # (N, D*, h, w)
    return add_classifier(net, size, net.fused)


def add_classifier(net, size, fused):
    """The two-layer classifier over ``fused`` (N, D*, h, w), as 1x1 convolutions; (N, 1, h, w)."""
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
