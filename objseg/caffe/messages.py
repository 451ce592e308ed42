"""The messages of Caffe's files, also where Caffe is not installed.

``caffe_proto.bin`` is Caffe's caffe.proto as protoc compiles it, a FileDescriptorProto. Where
pycaffe is at hand its own classes are taken, since protobuf does not mix two of one name.
"""

from pathlib import Path

from google.protobuf import descriptor_pool, message_factory

DESCRIPTOR = Path(__file__).with_name("caffe_proto.bin")


def _read(*names):
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(DESCRIPTOR.read_bytes())
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in names
    ]


try:
    from caffe.proto.caffe_pb2 import NetParameter, SolverState
except ImportError:
    NetParameter, SolverState = _read("NetParameter", "SolverState")
