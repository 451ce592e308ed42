"""Solver files name paths as Caffe reads them."""

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from models.solvers import quoted
from objseg.errors import UserError


@pytest.mark.parametrize("path", ['/tr"x', "/back\\slash", "/new\nline", "/it's", "/ümlaut/日本"])
def test_any_path_is_read_back(path):
    solver = text_format.Parse(f"net: {quoted(path)}", caffe_pb2.SolverParameter())
    assert solver.net == path


def test_a_path_that_is_not_utf8_is_refused():
    with pytest.raises(UserError, match="not UTF-8"):
        quoted("/r\udcfcw")
