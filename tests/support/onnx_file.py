"""Write small ONNX files."""

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper


def value(name: str, shape: tuple) -> ValueInfoProto:
    """Return the description of a float32 input or output of a net."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> NodeProto:
    """Return a node; its ``attributes`` are lists of integers."""
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def save_onnx(path, nodes: list, arrays: dict[str, np.ndarray], top, bottom):
    """Write a net that computes the value ``bottom`` from ``top``; returns ``path``."""
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [top], [bottom], tensors)
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=7, opset_imports=opsets), path)
    return path
