"""Caffe's layers as ONNX operators: a function per layer type.

Each takes a :class:`objseg.export.graph.Graph`, the layer's LayerParameter, the net's weights as
{layer: arrays} and the ONNX names of the layer's bottoms. It adds nodes and returns the names of
the tops, in order. Names of nodes are the layers'. A setting that the project's nets do not use
raises UserError.
"""

import json

import numpy as np

from objseg.errors import UserError
from objseg.numerics import EPSILON, spatial_coordinates


def require(layer, condition: bool, what: str) -> None:
    """Raise UserError, which names the layer and its setting, unless ``condition`` holds."""
    if not condition:
        raise UserError(
            f"layer {layer.name} ({layer.type}): {what} cannot be written to ONNX by this tool"
        )


def weights_of(weights, layer, outputs: int, axis: int = 0) -> list[np.ndarray]:
    """Return the arrays of a layer, float32, whose first has ``outputs`` along ``axis``.

    Raises UserError where there are none, or of another size.
    """
    if layer.name not in weights:
        raise UserError(f"no weights for the layer {layer.name}: they belong to another net")
    first = weights[layer.name][0]
    if first.shape[axis] != outputs:
        raise UserError(
            f"layer {layer.name}: weights of shape {first.shape} for {outputs} outputs: they "
            "belong to a net of another size"
        )
    return weights[layer.name]


def _window(parameters, layer):
    """Attributes strides, pads and, of a convolution, dilations of a layer that moves a window."""
    uneven = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w")
    require(layer, not any(parameters.HasField(name) for name in uneven), "unequal sides")
    if layer.type == "Pooling":
        return {"strides": [parameters.stride] * 2, "pads": [parameters.pad] * 4}
    lists = parameters.stride, parameters.pad, parameters.dilation
    require(layer, all(len(set(sides)) <= 1 for sides in lists), "unequal sides")
    stride, pad, dilation = (
        sides[0] if sides else default for sides, default in zip(lists, (1, 0, 1))
    )
    return {"strides": [stride] * 2, "pads": [pad] * 4, "dilations": [dilation] * 2}


def _convolution(kind):
    def convert(graph, layer, weights, bottoms):
        parameters = layer.convolution_param
        outputs, axis = parameters.num_output, 0
        if kind == "ConvTranspose":
            outputs, axis = outputs // parameters.group, 1
        kernel, *bias = weights_of(weights, layer, outputs, axis)
        inputs = [graph.weights(f"{layer.name}_weights", kernel)]
        inputs += [graph.constant(f"{layer.name}_bias", array) for array in bias]
        return [graph.add(
            kind, layer.name, [*bottoms, *inputs], group=parameters.group,
            kernel_shape=kernel.shape[2:], **_window(parameters, layer),
        )]

    return convert


def pooling(graph, layer, weights, bottoms):
    """Maxima of windows; the last window may end outside, as ``ceil_mode`` says."""
    parameters = layer.pooling_param
    require(layer, parameters.pool == parameters.MAX, "pooling that takes no maximum")
    require(layer, not parameters.global_pooling, "global pooling")
    return [graph.add(
        "MaxPool", layer.name, bottoms, kernel_shape=[parameters.kernel_size] * 2, ceil_mode=1,
        **_window(parameters, layer),
    )]


def relu(graph, layer, weights, bottoms):
    """max(x, 0)."""
    require(layer, layer.relu_param.negative_slope == 0, "a negative slope")
    return [graph.add("Relu", layer.name, bottoms)]


def same(graph, layer, weights, bottoms):
    """Pass the bottoms on: dropout does nothing in use."""
    return bottoms


def nothing(graph, layer, weights, bottoms):
    """Leave out a layer without tops."""
    return []


def power(graph, layer, weights, bottoms):
    """Return scale x + shift."""
    parameters = layer.power_param
    require(layer, parameters.power == 1, "a power other than 1")
    scale = graph.constant(f"{layer.name}_scale", np.float32(parameters.scale))
    shift = graph.constant(f"{layer.name}_shift", np.float32(parameters.shift))
    scaled = graph.add("Mul", f"{layer.name}_scaled", [*bottoms, scale])
    return [graph.add("Add", layer.name, [scaled, shift])]


def concat(graph, layer, weights, bottoms):
    """Join along an axis, by default the channels."""
    return [graph.add("Concat", layer.name, bottoms, axis=layer.concat_param.axis)]


def reshape(graph, layer, weights, bottoms):
    """Another shape; 0 and -1 mean the same in both."""
    parameters = layer.reshape_param
    require(layer, (parameters.axis, parameters.num_axes) == (0, -1), "a part of the axes")
    shape = graph.constant(f"{layer.name}_shape", np.array(parameters.shape.dim, np.int64))
    return [graph.add("Reshape", layer.name, [*bottoms, shape])]


def cut(graph, layer, weights, bottoms):
    """Caffe's Slice: parts along an axis."""
    axis, tops = layer.slice_param.axis, []
    ends = [*layer.slice_param.slice_point, graph.shape(*bottoms)[axis]]
    require(layer, len(ends) == len(layer.top), "parts without slice_point")
    for start, end, top in zip([0, *ends], ends, layer.top):
        limits = [
            graph.constant(f"{top}_{name}", np.array([value], np.int64))
            for name, value in (("start", start), ("end", end), ("axis", axis))
        ]
        tops.append(graph.add("Slice", top, [*bottoms, *limits]))
    return tops


def tile(graph, layer, weights, bottoms):
    """Repeat along an axis."""
    repeats = np.ones(len(graph.shape(*bottoms)), np.int64)
    repeats[layer.tile_param.axis] = layer.tile_param.tiles
    return [graph.add("Tile", layer.name, [*bottoms, graph.constant(f"{layer.name}_n", repeats)])]


def gather(graph, layer, weights, bottoms):
    """Caffe's BatchReindex: item ``index[n]`` of the batch becomes item n."""
    return [graph.add("Gather", layer.name, bottoms, axis=0)]


def embed(graph, layer, weights, bottoms):
    """Rows of a table."""
    require(layer, not layer.embed_param.bias_term, "a bias")
    (table,) = weights_of(weights, layer, layer.embed_param.num_output, axis=1)
    rows = graph.weights(f"{layer.name}_weights", table)
    return [graph.add("Gather", layer.name, [rows, *bottoms], axis=0)]


def lstm(graph, layer, weights, bottoms):
    """Caffe's LSTM over expressions whose words are the last of the T steps.

    The second bottom is here not Caffe's continuation but the number of words (N,). ONNX reads the
    first steps of a sequence and can read them backwards: so the sequence is reversed, and read
    backwards from its first word. Padding is not read; the states of these steps are 0. Gates are
    i, f, o, g in Caffe and i, o, f, g in ONNX.
    """
    require(layer, len(bottoms) == 2, "a static input")
    hidden = layer.recurrent_param.num_output
    from_input, bias, from_state = weights_of(weights, layer, 4 * hidden)

    def gates(array):
        i, f, o, g = np.split(array, 4)
        return np.concatenate([i, o, f, g])[None]

    matrices = [
        graph.weights(f"{layer.name}_{name}", gates(array), axis=1)
        for name, array in (("from_input", from_input), ("from_state", from_state))
    ]
    both = np.concatenate([gates(bias), np.zeros((1, 4 * hidden), np.float32)], axis=1)
    steps = _reversed(graph, f"{layer.name}_steps", bottoms[0])
    states = graph.add(
        "LSTM", f"{layer.name}_directions",
        [steps, *matrices, graph.constant(f"{layer.name}_bias", both), bottoms[1]],
        hidden_size=hidden, direction="reverse",
    )  # (T, 1, N, hidden)
    axis = graph.constant(f"{layer.name}_direction", np.array([1], np.int64))
    states = graph.add("Squeeze", f"{layer.name}_states", [states, axis])
    return [_reversed(graph, layer.name, states)]


def _reversed(graph, name, sequence):
    """Reverse the first axis."""
    limits = [
        graph.constant(f"{name}_{role}", np.array([value], np.int64))
        for role, value in (("start", -1), ("end", np.iinfo(np.int64).min), ("axis", 0),
                            ("step", -1))
    ]
    return graph.add("Slice", name, [sequence, *limits])


def l2_normalization(graph, layer, weights, bottoms):
    """Divide by the norm over the channels, see :func:`objseg.numerics.l2_normalize`."""
    name = layer.name
    channels = graph.constant(f"{name}_axis", np.array([1], np.int64))
    least = graph.constant(f"{name}_least", np.float32(EPSILON))
    square = graph.add("Mul", f"{name}_square", bottoms * 2)
    total = graph.add("ReduceSum", f"{name}_sum", [square, channels])
    norm = graph.add("Sqrt", f"{name}_norm", [graph.add("Max", f"{name}_max", [total, least])])
    return [graph.add("Div", name, [*bottoms, norm])]


def coordinates(graph, layer, weights, bottoms):
    """The same coordinate maps for every item, see :func:`objseg.numerics.spatial_coordinates`."""
    name = layer.name
    channels = json.loads(layer.python_param.param_str or "{}").get("channels", 2)
    height, width = graph.shape(*bottoms)[2:]
    maps = graph.constant(f"{name}_maps", spatial_coordinates(height, width, channels)[None])
    count = graph.add("Shape", f"{name}_count", bottoms, start=0, end=1)
    ones = graph.constant(f"{name}_ones", np.ones(3, np.int64))
    shape = graph.add("Concat", f"{name}_shape", [count, ones], axis=0)
    return [graph.add("Expand", name, [maps, shape])]


CONVERTERS = {
    "BatchReindex": gather,
    "Concat": concat,
    "Convolution": _convolution("Conv"),
    "Deconvolution": _convolution("ConvTranspose"),
    "Dropout": same,
    "Embed": embed,
    "L2NormalizationLayer": l2_normalization,
    "LSTM": lstm,
    "Pooling": pooling,
    "Power": power,
    "ReLU": relu,
    "Reshape": reshape,
    "Silence": nothing,
    "Slice": cut,
    "SpatialCoordinatesLayer": coordinates,
    "Tile": tile,
}
"""Converters by layer type; those of Python layers by the name of the layer's class."""


def convert(graph, layers, weights: dict, names: dict[str, str]) -> None:
    """Add the nodes of ``layers``, LayerParameters, to the graph.

    ``weights`` are the net's, {layer: arrays}. ``names`` maps Caffe's blobs to ONNX names; it holds
    the inputs and gets the tops. A layer that works in place gives its blob a new name. Raises
    UserError for a layer without weights, or one that ONNX cannot be written for.
    """
    for layer in layers:
        kind = layer.python_param.layer if layer.type == "Python" else layer.type
        require(layer, kind in CONVERTERS, f"the type {kind}")
        tops = CONVERTERS[kind](graph, layer, weights, [names[blob] for blob in layer.bottom])
        names.update(zip(layer.top, tops))
