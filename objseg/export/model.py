"""The whole model of :mod:`models.ours` as one ONNX file, which docs/onnx.md describes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from objseg.caffe.names import FEATURES
from objseg.caffe.weights import check_vocabulary, read_net
from objseg.data.expressions import PAD, Vocabulary
from objseg.errors import UserError
from objseg.export.graph import Graph
from objseg.export.layers import convert
from objseg.files import atomic_path
from objseg.geometry import MEAN_BGR
from objseg.methods.nets import open_net, origin
from objseg.methods.onnx_segmenter import FORMAT

OPSET, IR_VERSION = 17, 8

INPUTS = {"image", "tokens", "continuation", "image_index"}
"""Inputs of a deploy net that this module can write."""

PREPROCESSING = (
    "image: the picture as uint8 BGR, resized (bilinear, aspect kept) so that its longer side is "
    "S, centred in a square of zeros; the mean is subtracted in the graph. tokens: a column per "
    "expression, line numbers of the vocabulary from 0, after zeros that fill the T rows; 3 "
    "(<unk>) for other words. Lower-case words and the punctuation between them are tokens; a last "
    "'.' is dropped."
)


def save_model(deploy: Path, weights: Path, vocabulary: Path, out: Path, type: str) -> None:
    """Write a trained net to the ONNX file ``out``, its large weights stored as ``type``.

    Raises UserError where the files do not belong together, or the net is of another kind.
    """
    net = open_net(deploy, weights)
    layers = list(read_net(deploy).layer)
    if set(net.inputs) != INPUTS or FEATURES not in net.blobs:
        raise UserError(
            f"{deploy}: a net with inputs {', '.join(net.inputs)}; expected one of the methods "
            f"highres and lowres, with {', '.join(sorted(INPUTS))} and a layer {FEATURES}"
        )
    words = Vocabulary.load(vocabulary)
    check_vocabulary(net, words, deploy, vocabulary)
    model = helper.make_model(
        build(net, layers, type), ir_version=IR_VERSION, producer_name="text_objseg-caffe",
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {
        "format": FORMAT, "preprocessing": PREPROCESSING, "threshold": "0",
        "vocabulary": words.text, "images": origin(weights).get("images", "unknown"),
        "weights": f"{weights.name} as {type}",
    })
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(out) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def build(net, layers: list, type: str) -> onnx.GraphProto:
    """Return the graph of a caffe.Net and its ``layers``, LayerParameters.

    Inputs: image (S, S, 3) uint8; tokens (T, N) int32; known_features (K, D, h, w) float32. With
    K = 0 the trunk describes the image; with K = 1 it does not run, and the image does not count.
    Outputs: responses (N, H, W) float32 and features (1, D, h, w) float32, the next call's
    known_features for the same image.
    """
    layers = [layer for layer in layers if layer.type != "Input"]
    last = [layer.name for layer in layers].index(FEATURES) + 1
    side, maps = net.blobs["image"].shape[2], list(net.blobs[FEATURES].shape)[1:]
    steps, (response,) = net.blobs["tokens"].shape[0], net.outputs
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.UINT8, [side, side, 3]),
        helper.make_tensor_value_info("tokens", TensorProto.INT32, [steps, "expressions"]),
        helper.make_tensor_value_info("known_features", TensorProto.FLOAT, ["known", *maps]),
    ]
    height, width = net.blobs[response].shape[2:]
    outputs = [
        helper.make_tensor_value_info(
            "responses", TensorProto.FLOAT, ["expressions", height, width]
        ),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, *maps]),
    ]
    graph = Graph(type)
    names = {"tokens": "tokens", FEATURES: _features(graph, net, layers[:last], type, maps)}
    _count(graph, names)
    convert(graph, layers[last:], net, names)
    channels = graph.constant("response_channel", np.array([1], np.int64))
    graph.add("Squeeze", "responses", [names[response], channels])
    return graph.proto("segmenter", inputs, outputs)


def _features(graph, net, trunk, type, maps):
    """Add the choice between the known features and the trunk, which runs where it must alone."""
    none = graph.constant("zero", np.array([0], np.int64))
    known = graph.add("Shape", "known_count", ["known_features"], start=0, end=1)
    unknown = graph.add("Equal", "features_unknown", [known, none])
    computed, given = Graph(type), Graph(type)
    pixels = computed.add("Cast", "image_float", ["image"], to=TensorProto.FLOAT)
    centred = computed.add("Sub", "image_centred", [pixels, computed.constant("mean", MEAN_BGR)])
    planes = computed.add("Transpose", "image_planes", [centred], perm=[2, 0, 1])
    first = computed.constant("image_axis", np.array([0], np.int64))
    names = {"image": computed.add("Unsqueeze", "image_batch", [planes, first])}
    convert(computed, trunk, net, names)
    given.add("Identity", "features_given", ["known_features"])
    branches = [
        branch.proto(name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)])
        for branch, name, output, shape in (
            (computed, "trunk", names[FEATURES], [1, *maps]),
            (given, "no_trunk", "features_given", ["known", *maps]),
        )
    ]
    return graph.add(
        "If", "features", [unknown], then_branch=branches[0], else_branch=branches[1]
    )


def _count(graph, names):
    """Add what stands for Caffe's inputs continuation, the number of words (N,), and image_index:

    all expressions are about image 0.
    """
    pad = graph.constant("pad", np.int32(PAD))
    step = graph.constant("step_axis", np.array([0], np.int64))
    padding = graph.add("Equal", "is_padding", ["tokens", pad])
    words = graph.add("Cast", "is_word", [graph.add("Not", "not_padding", [padding])],
                      to=TensorProto.INT32)
    names["continuation"] = graph.add("ReduceSum", "word_count", [words, step], keepdims=0)
    names["image_index"] = graph.add("Mul", "image_index", [
        names["continuation"], graph.constant("no_image", np.int32(0))
    ])
