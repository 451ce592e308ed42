"""The whole model of :mod:`models.ours` as one ONNX file, which docs/onnx.md describes.

Caffe is not needed: the net is read from its files.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from objseg.caffe.names import FEATURES
from objseg.caffe.weights import check_vocabulary, read_net, read_weights
from objseg.data.expressions import PAD, Vocabulary
from objseg.errors import UserError
from objseg.export.format import FORMAT, PREPROCESSING
from objseg.export.graph import Graph, model_of
from objseg.export.layers import convert
from objseg.export.session import open_session
from objseg.files import atomic_path
from objseg.geometry import MEAN_BGR
from objseg.training.snapshot import convolutions_of, origin

INPUTS = {"image", "tokens", "continuation", "image_index"}
"""Inputs of a deploy net that this module can write."""


def save_model(deploy: Path, weights: Path, vocabulary: Path, out: Path, type: str) -> None:
    """Write a trained net to the ONNX file ``out``, its large weights stored as ``type``.

    Raises UserError where the files do not belong together, or the net is of another kind.
    """
    layers = list(read_net(deploy).layer)
    inputs = [layer.top[0] for layer in layers if layer.type == "Input"]
    if set(inputs) != INPUTS or FEATURES not in [layer.name for layer in layers]:
        raise UserError(
            f"{deploy}: a net with inputs {', '.join(inputs)}; expected one of the methods "
            f"highres and lowres, with {', '.join(sorted(INPUTS))} and a layer {FEATURES}"
        )
    arrays, words = read_weights(weights, convolutions_of(weights)), Vocabulary.load(vocabulary)
    check_vocabulary(arrays, words, deploy, vocabulary)
    model = model_of(build(layers, arrays, type))
    helper.set_model_props(model, {
        "format": FORMAT, "preprocessing": PREPROCESSING, "threshold": "0",
        "vocabulary": words.text, "images": origin(weights).get("images", "unknown"),
        "weights": f"{weights.name} as {type}",
    })
    with atomic_path(out) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        try:
            onnx.checker.check_model(model, full_check=True)
            _run_once(temporary)
        except Exception as error:  # those of onnx and onnxruntime have no common base
            raise UserError(
                f"{weights}: not the weights of {deploy}, or damaged ones: the net does not run "
                f"({error})"
            ) from error


def _run_once(path):
    """Run the net of a file on a black picture and one expression without words."""
    session = open_session(path)
    types = {"image": np.uint8, "tokens": np.int32, "known_features": np.float32}
    free = {"expressions": 1, "known": 0}
    session.run(None, {
        each.name: np.zeros([free.get(side, side) for side in each.shape], types[each.name])
        for each in session.get_inputs()
    })


def build(layers: list, weights: dict[str, list[np.ndarray]], type: str) -> onnx.GraphProto:
    """Return the graph of a net's ``layers``, LayerParameters, and {layer: arrays}.

    Inputs: image (S, S, 3) uint8; tokens (T, N) int32; known_features (K, D, h, w) float32. With
    K = 0 the trunk describes the image; with K = 1 it does not run, and the image does not count.
    Outputs: responses (N, H, W) float32 and features (1, D, h, w) float32, the next call's
    known_features for the same image.
    """
    sides = {
        layer.top[0]: list(layer.input_param.shape[0].dim)
        for layer in layers if layer.type == "Input"
    }
    layers = [layer for layer in layers if layer.type != "Input"]
    last = [layer.name for layer in layers].index(FEATURES) + 1
    (steps, _), side = sides["tokens"], sides["image"][2]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [side, side, 3])
    trunk, features = _trunk(image, layers[:last], weights, type)
    maps = trunk.shape(features)[1:]
    graph = Graph(type, [
        image, helper.make_tensor_value_info("tokens", TensorProto.INT32, [steps, "expressions"]),
        helper.make_tensor_value_info("known_features", TensorProto.FLOAT, ["known", *maps]),
    ])
    names = {"tokens": "tokens", FEATURES: _features(graph, trunk, features, maps)}
    _count(graph, names)
    convert(graph, layers[last:], weights, names)
    channels = graph.constant("response_channel", np.array([1], np.int64))
    graph.add("Squeeze", "responses", [names[layers[-1].top[0]], channels])
    shapes = {"responses": ["expressions", *graph.shape("responses")[1:]], "features": [1, *maps]}
    return graph.proto("segmenter", [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ], graph.inputs)


def _trunk(image, layers, weights, type):
    """Return the Graph from the ``image`` to the trunk's features, and their name in it."""
    graph = Graph(type, [image])
    pixels = graph.add("Cast", "image_float", ["image"], to=TensorProto.FLOAT)
    centred = graph.add("Sub", "image_centred", [pixels, graph.constant("mean", MEAN_BGR)])
    planes = graph.add("Transpose", "image_planes", [centred], perm=[2, 0, 1])
    first = graph.constant("image_axis", np.array([0], np.int64))
    names = {"image": graph.add("Unsqueeze", "image_batch", [planes, first])}
    convert(graph, layers, weights, names)
    return graph, names[FEATURES]


def _features(graph, trunk, features, maps):
    """Add the choice between the known features and the trunk, which runs where it must alone."""
    none = graph.constant("zero", np.array([0], np.int64))
    known = graph.add("Shape", "known_count", ["known_features"], start=0, end=1)
    unknown = graph.add("Equal", "features_unknown", [known, none])
    given = Graph()
    given.add("Identity", "features_given", ["known_features"])
    branches = [
        branch.proto(name, [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)])
        for branch, name, output, shape in (
            (trunk, "trunk", features, [1, *maps]),
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
