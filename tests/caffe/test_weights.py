"""Weight files and nets that cannot be used are refused by name; Caffe itself would abort."""

import hashlib

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2

from objseg.caffe.weights import WeightsError, check_vocabulary, load_net, read_caffemodel
from objseg.errors import UserError

DEPLOY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
layer { name: "product" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
"""


@pytest.fixture
def files(tmp_path):
    deploy, weights = tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"
    deploy.write_text(DEPLOY)
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    return deploy, weights


def change(path, edit):
    """Apply ``edit`` to the blobs of the only layer with weights."""
    net = caffe_pb2.NetParameter()
    net.ParseFromString(path.read_bytes())
    (layer,) = [layer for layer in net.layer if layer.blobs]
    edit(layer.blobs)
    path.write_bytes(net.SerializeToString())


def test_whole_weights_are_read(files):
    deploy, weights = files
    net, other = (load_net(deploy, weights) for _ in range(2))
    np.testing.assert_array_equal(net.params["product"][0].data, other.params["product"][0].data)
    assert net.params["product"][0].data.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("blob", [0, 1])
def test_weights_that_are_not_finite_are_refused(files, value, blob):
    deploy, weights = files
    change(weights, lambda blobs: blobs[blob].data.__setitem__(3, value))
    with pytest.raises(WeightsError, match="w.caffemodel: a weight of the layer product is not"):
        load_net(deploy, weights)


def test_a_blob_shorter_than_its_shape_is_refused(files):
    deploy, weights = files
    change(weights, lambda blobs: blobs[0].data.pop())
    with pytest.raises(WeightsError, match=r"product holds 11 numbers .* shape \(4, 3\)"):
        load_net(deploy, weights)


@pytest.fixture
def two_files(files):
    """A net of two layers, each with weights in a file of its own.

    Returns (deploy, weights of the second layer, those of the first, the digest of the first).
    """
    deploy, first = files
    both = DEPLOY + """layer { name: "second" type: "InnerProduct" bottom: "y" top: "z"
                       inner_product_param { num_output: 2 } }"""
    second = first.with_name("second.caffemodel")
    deploy.write_text(both.replace('"product"', '"other"'))
    caffe.Net(str(deploy), caffe.TEST).save(str(second))
    deploy.write_text(both)
    expected = hashlib.sha256(b"product (4, 3)")
    values, bias = read_caffemodel(first)["product"]
    expected.update(values.tobytes() + b"product (4,)" + bias.tobytes())
    return deploy, second, first, expected.hexdigest()


def test_convolutions_come_from_a_file_of_their_own(two_files):
    deploy, weights, own, digest = two_files
    net = load_net(deploy, weights, convolutions=(own, digest))
    for name, file in (("product", own), ("second", weights)):
        for blob, array in zip(net.params[name], read_caffemodel(file)[name]):
            np.testing.assert_array_equal(blob.data, array)


@pytest.mark.parametrize("spoil, message", [
    (lambda path: change(path, lambda blobs: blobs[0].data.__setitem__(3, 7)),
     "other convolutions .* than those that the model was trained on"),
    (lambda path: change(path, lambda blobs: blobs[0].data.pop()), "holds 11 numbers"),
    (lambda path: path.write_bytes(path.read_bytes()[:50]), "not a caffemodel"),
    (lambda path: path.unlink(), "No such file"),
])
def test_other_convolutions_are_refused_with_what_to_do(
    two_files, spoil, message
):
    deploy, weights, own, digest = two_files
    spoil(own)
    with pytest.raises(WeightsError, match=f"w.caffemodel: .*{message}.*delete it: the next"):
        load_net(deploy, weights, convolutions=(own, digest))


@pytest.mark.parametrize("text, message", [
    ("layer { name: ", "not a net's prototxt"), ("", "without layers"),
    ('laver { name: "x" }', "not a net's prototxt"),
])
def test_a_deploy_file_that_is_no_net_is_refused(files, text, message):
    deploy, weights = files
    deploy.write_text(text)
    with pytest.raises(WeightsError, match=f"deploy.prototxt: .*{message}"):
        load_net(deploy, weights)


def test_a_net_without_an_embedding_reads_no_expressions(files):
    deploy, _ = files
    with pytest.raises(UserError, match="without the layer embedding"):
        check_vocabulary(caffe.Net(str(deploy), caffe.TEST).params, ["sky"], deploy)
