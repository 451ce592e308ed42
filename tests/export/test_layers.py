"""Single layers as ONNX operators, with settings that the project's nets do not have together."""

import caffe
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support.tiny_trunk import randomize

from objseg.caffe.weights import read_net
from objseg.errors import UserError
from objseg.export.graph import LARGE, Graph, model_of
from objseg.export.layers import convert

LAYERS = {
    "convolution in groups": 'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 '
                             "stride: 2 pad: 1 group: 2 }",
    "dilated convolution": 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 '
                           "pad: 2 dilation: 2 }",
    "deconvolution": 'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 4 '
                     "stride: 2 pad: 1 bias_term: false }",
    "pooling whose last window ends outside": 'type: "Pooling" pooling_param { kernel_size: 2 '
                                              "stride: 2 }",
    "pooling of overlapping windows": 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }',
    "power": 'type: "Power" power_param { scale: 0.3 shift: -0.2 }',
    "tile": 'type: "Tile" tile_param { axis: 2 tiles: 3 }',
    "reshape": 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 7 } }',
    "unit vectors": 'type: "Python" python_param { module: "l2_normalization" '
                    'layer: "L2NormalizationLayer" }',
    "coordinates": 'type: "Python" python_param { module: "spatial_coordinates" '
                   "layer: \"SpatialCoordinatesLayer\" param_str: '{\"channels\": 8}' }",
}
SHAPE = (2, 4, 7, 9)


def run_onnx(graph, inputs, output):
    """Run a Graph whose inputs are float32 arrays by name; returns the blob ``output``."""
    tops = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    bottoms = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in inputs.items()
    ]
    model = model_of(graph.proto("layers", tops, bottoms))
    return onnxruntime.InferenceSession(model.SerializeToString()).run([output], inputs)[0]


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_layer_computes_what_it_computes_in_caffe(tmp_path, layer):
    path = tmp_path / "net.prototxt"
    shape = " ".join(f"dim: {side}" for side in SHAPE)
    path.write_text(
        f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}\n'
        f'layer {{ name: "y" bottom: "x" top: "y" {layer} }}\n'
    )
    net = caffe.Net(str(path), caffe.TEST)
    randomize(net)
    x = np.random.RandomState(0).normal(size=SHAPE).astype(np.float32)
    x[0, :, 0, 0] = 0
    net.blobs["x"].data[...] = x
    expected = net.forward()["y"]
    bottom = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    graph, names = Graph(inputs=[bottom]), {"x": "x"}
    weights = {name: [blob.data for blob in blobs] for name, blobs in net.params.items()}
    convert(graph, list(read_net(path).layer)[1:], weights, names)
    assert graph.shape(names["y"]) == list(expected.shape)
    found = run_onnx(graph, {"x": x}, names["y"])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sides", ["stride: [1, 2]", "pad: [1, 0]", "dilation: [1, 2]"])
def test_a_convolution_of_unequal_sides_is_refused(tmp_path, sides):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "y" type: "Convolution" bottom: "x" top: "y" '
        f"convolution_param {{ num_output: 3 kernel_size: 3 {sides} }} }}\n"
    )
    weights = {"y": [np.zeros((3, 4, 3, 3), np.float32), np.zeros(3, np.float32)]}
    with pytest.raises(UserError, match="y.*unequal sides"):
        convert(Graph(inputs=[]), read_net(path).layer, weights, {"x": "x"})


@pytest.mark.parametrize("axis", [0, 1])
def test_stored_weights_are_within_half_a_step_of_their_type(axis):
    array = np.random.RandomState(0).normal(size=(40, 50)).astype(np.float32)
    array[3], array[:, 4] = 0, 0
    array[5] *= 1000
    zero = {"x": np.zeros(array.shape, np.float32)}
    assert array.size > LARGE
    largest = np.abs(array).max(axis=1 - axis, keepdims=True)
    for kind, step in (("float32", 0), ("float16", np.abs(array) * 2.0**-10),
                       ("int8", largest / 127)):
        graph = Graph(kind)
        graph.add("Add", "y", ["x", graph.weights("w", array, axis)])
        error = np.abs(run_onnx(graph, zero, "y") - array)
        assert (error <= np.asarray(step) / 2 * 1.0001).all(), kind
        assert error.any() == (kind != "float32")
