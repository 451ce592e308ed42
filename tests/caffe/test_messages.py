"""Caffe's messages where there is no Caffe."""

from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2

from objseg.caffe.messages import DESCRIPTOR


def test_the_descriptor_is_that_of_caffe():
    expected = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(expected)
    assert descriptor_pb2.FileDescriptorProto.FromString(DESCRIPTOR.read_bytes()) == expected
