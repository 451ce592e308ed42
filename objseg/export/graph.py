"""The nodes and weights of an ONNX graph while it is built, with weights of a chosen type."""

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, TensorProto, ValueInfoProto, helper, numpy_helper

TYPES = ("float32", "float16", "int8")
"""What large weights are stored as. All of them become float32 before they are used."""

LARGE = 1024
"""Weights of fewer numbers are always float32: they save nothing."""


class Graph:
    """Collects nodes and weights; ``type`` is one of TYPES."""

    def __init__(self, type: str = "float32"):
        self.type, self.nodes, self.initializers = type, [], []

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

    def proto(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> GraphProto:
        """Return the graph as ONNX's message."""
        return helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
