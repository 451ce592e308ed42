"""Caffe's messages as text."""

from google.protobuf import text_format


def prototxt(message):
    """The text of a NetParameter or SolverParameter (str), the same under every protobuf.

    str(message) is not: since protobuf 4 it writes 1.0 as 1.
    """
    return text_format.MessageToString(message)
