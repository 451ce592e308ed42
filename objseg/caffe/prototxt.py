"""Caffe's messages as text, and as nets."""

import tempfile

from google.protobuf import text_format
from google.protobuf.message import Message


def prototxt(message: Message) -> str:
    """Return the text of a NetParameter or SolverParameter, the same under every protobuf.

    str(message) is not: since protobuf 4 it writes 1.0 as 1.
    """
    return text_format.MessageToString(message)


def build_net(message: Message, phase: int):
    """Build the caffe.Net of a NetParameter in ``phase``, caffe.TRAIN or caffe.TEST."""
    import caffe

    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(prototxt(message))
        file.flush()
        return caffe.Net(file.name, phase)
