"""The nodes and weights of an ONNX graph while it is built, with weights of a chosen type."""

from collections.abc import Sequence

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
    shape_inference,
)

OPSET, IR_VERSION = 17, 8

TYPES = ("float32", "float16", "int8")
"""What large weights are stored as. All of them become float32 before they are used."""

LARGE = 1024
"""Weights of fewer numbers are always float32: they save nothing."""


class Graph:
    """Collects nodes and weights; ``type`` is one of TYPES, ``inputs`` what the nodes may read."""

    def __init__(self, type: str = "float32", inputs: Sequence[ValueInfoProto] = ()):
        self.type, self.inputs, self.nodes, self.initializers = type, inputs, [], []

    def add(self, kind: str, name: str, inputs: Sequence[str], **attributes) -> str:
        """Add a node of one output, ``name``; returns that name."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add an array as it is; returns its name."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, name: str, array: np.ndarray, axis: int = 0) -> str:
        """Add weights, stored in the graph's type where they are LARGE; returns their name.

        int8 has a scale for each index of ``axis``, the output channels: the largest magnitude
        becomes 127.
        """
        array = np.asarray(array, np.float32)
        if self.type == "float32" or array.size < LARGE:
            return self.constant(name, array)
        if self.type == "float16":
            stored = self.constant(f"{name}_float16", array.astype(np.float16))
            return self.add("Cast", name, [stored], to=TensorProto.FLOAT)
        others = tuple(n for n in range(array.ndim) if n != axis)
        largest = np.abs(array).max(axis=others, keepdims=True)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        stored = self.constant(f"{name}_int8", np.rint(array / scale).astype(np.int8))
        scales = self.constant(f"{name}_scale", scale.ravel())
        return self.add("DequantizeLinear", name, [stored, scales], axis=axis)

    def shape(self, name: str) -> list[int]:
        """Return the shape of the value ``name``, with 0 for a side that is free."""
        small = [each for each in self.initializers if np.prod(each.dims) < LARGE]
        large = [  # only their shapes count
            helper.make_tensor_value_info(each.name, each.data_type, each.dims)
            for each in self.initializers if np.prod(each.dims) >= LARGE
        ]
        graph = helper.make_graph(
            self.nodes, "part", [*self.inputs, *large],
            [helper.make_empty_tensor_value_info(name)], small,
        )
        inferred = shape_inference.infer_shapes(
            model_of(graph), strict_mode=True, data_prop=True
        ).graph
        found = next(each for each in [*inferred.input, *inferred.output] if each.name == name)
        return [side.dim_value for side in found.type.tensor_type.shape.dim]

    def proto(self, name: str, outputs: Sequence[ValueInfoProto], inputs=()) -> GraphProto:
        """Return the graph as ONNX's message; a branch of an ``If`` has no ``inputs``."""
        return helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)


def model_of(graph: GraphProto) -> ModelProto:
    """Return the model of a whole graph."""
    return helper.make_model(
        graph, ir_version=IR_VERSION, producer_name="text_objseg-caffe",
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
