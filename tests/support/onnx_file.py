"""Write small ONNX files: just the messages and fields of ONNX's schema that they need."""

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMA = {
    "Model": "ir_version:int64=1 graph:Graph=7 opset_import:Opset*=8",
    "Opset": "domain:string=1 version:int64=2",
    "Graph": "node:Node*=1 name:string=2 initializer:Tensor*=5 input:Value*=11 output:Value*=12",
    "Node":
        "input:string*=1 output:string*=2 name:string=3 op_type:string=4 attribute:Attribute*=5",
    "Attribute": "name:string=1 ints:int64*=8 type:int64=20",
    "Tensor": "dims:int64*=1 data_type:int64=2 name:string=8 raw_data:bytes=9",
    "Value": "name:string=1 type:Type=2",
    "Type": "tensor_type:TensorType=1",
    "TensorType": "elem_type:int64=1 shape:Shape=2",
    "Shape": "dim:Dimension*=1",
    "Dimension": "dim_value:int64=1",
}
FLOAT, INTS = 1, 7  # of the schema's enumerations


def _model_class():
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="small_onnx", package="small", syntax="proto3")
    for message, fields in SCHEMA.items():
        described = file.message_type.add(name=message)
        for field in fields.split():
            name, kind = field.split(":")
            kind, number = kind.split("=")
            label = field_type.LABEL_REPEATED if "*" in kind else field_type.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            added = described.field.add(name=name, number=int(number), label=label)
            if kind in SCHEMA:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".small.{kind}"
            else:
                added.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("small.Model"))


def value(name: str, shape: tuple) -> dict:
    """Return the description of an input or output of a net."""
    dimensions = [{"dim_value": side} for side in shape]
    tensor = {"elem_type": FLOAT, "shape": {"dim": dimensions}}
    return {"name": name, "type": {"tensor_type": tensor}}


def node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> dict:
    """Return a node; its ``attributes`` are lists of integers."""
    return {
        "op_type": kind, "name": output, "input": inputs, "output": [output],
        "attribute": [{"name": n, "ints": v, "type": INTS} for n, v in attributes.items()],
    }


def save_onnx(path, nodes: list[dict], arrays: dict[str, np.ndarray], top: dict, bottom: dict):
    """Write a net that computes the value ``bottom`` from ``top``; returns ``path``."""
    tensors = [
        {"name": name, "dims": array.shape, "data_type": FLOAT, "raw_data": array.tobytes()}
        for name, array in arrays.items()
    ]
    model = _model_class()(
        ir_version=7, opset_import=[{"version": 13}],
        graph={"node": nodes, "name": "net", "initializer": tensors,
               "input": [top], "output": [bottom]},
    )
    path.write_bytes(model.SerializeToString())
    return path
