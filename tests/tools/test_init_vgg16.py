"""The start of the paper's net from VGG-16, whole or its convolutions alone."""

import shutil
import sys

import caffe
import numpy as np
import pytest
from support.commands import load_tool, run_tool

from models.ours import starting_net
from models.sizes import SLIM
from objseg.caffe.prototxt import build_net
from objseg.caffe.weights import read_caffemodel, write_caffemodel
from objseg.download.vgg16_convolutions import LAYERS
from objseg.errors import UserError
from objseg.files import REPOSITORY

FULL = REPOSITORY / "models" / "VGG_ILSVRC_16_layers.caffemodel"
CONVOLUTIONS = REPOSITORY / "models" / "vgg16_convolutions.caffemodel"


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Call the tool, for which the narrow nets count as VGG-16's; returns (weights, output)."""
    tool = load_tool("init_vgg16")
    monkeypatch.setattr(tool, "PAPER", SLIM)

    def call(weights, capsys):
        write_caffemodel(tmp_path / "vgg16.caffemodel", weights)
        words = ["--vgg16", tmp_path / "vgg16.caffemodel", "--any-checksum",
                 "--out", tmp_path / "start.caffemodel", "--seed", 5]
        monkeypatch.setattr(sys, "argv", ["init_vgg16.py", *map(str, words)])
        tool.main()
        return read_caffemodel(tmp_path / "start.caffemodel"), capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def vgg16():
    """Weights of a narrow VGG-16, in which fc6 to fc8 are not convolutions."""
    random, net = np.random.default_rng(1), build_net(starting_net(SLIM), caffe.TEST)
    weights = {
        name: [random.normal(0, 1, blob.shape).astype(np.float32) for blob in blobs]
        for name, blobs in net.params.items() if name != "lstm"
    }
    for name in ("fc6", "fc7", "fc8"):
        weights[name][0] = weights[name][0].reshape(len(weights[name][0]), -1)
    return weights


def taken(weights, start):
    """Names of the layers of ``weights`` whose numbers, in order, are those of ``start``."""
    return [
        name for name, arrays in weights.items()
        if all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(arrays, start[name]))
    ]


def test_all_of_vgg_16_is_taken_where_it_fits(tool, vgg16, capsys):
    start, said = tool(vgg16, capsys)
    assert taken(vgg16, start) == list(vgg16)
    assert start["fc6"][0].shape == (128, 64, 7, 7)
    assert "conv1_1 to fc8 from" in said and "random" not in said
    bias = start["lstm"][1].reshape(4, -1)
    assert (bias[1] == 1).all() and not bias[[0, 2, 3]].any()


def test_from_the_convolutions_alone_the_other_layers_start_at_random(tool, vgg16, capsys):
    start, said = tool({name: vgg16[name] for name in LAYERS}, capsys)
    assert taken({name: vgg16[name] for name in LAYERS}, start) == list(LAYERS)
    assert "conv1_1 to conv5_3 from" in said and ", fc6, fc7, fc8 at random" in said
    for name, inputs in (("fc6", 64 * 49), ("fc7", 128), ("fc8", 128)):
        # He et al.: variance 2 / inputs keeps the scale of the activations through the ReLUs
        assert start[name][0].std() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
        assert not start[name][1].any()
    again, _ = tool({name: vgg16[name] for name in LAYERS}, capsys)
    assert taken(start, again) == list(start)  # by --seed


def test_a_layer_above_a_random_one_is_random_too(tool, vgg16, capsys):
    other = {**vgg16, "fc6": [np.zeros((128, 64 * 9), np.float32), np.zeros(128, np.float32)]}
    start, said = tool(other, capsys)
    assert taken(vgg16, start) == list(LAYERS)
    assert "fc6, fc7, fc8 at random" in said


@pytest.mark.parametrize("change", [
    lambda weights: weights.pop("conv3_2"),
    lambda weights: weights.update(conv3_2=weights["conv3_1"]),
])
def test_a_convolution_that_is_missing_or_narrower_is_refused(tool, vgg16, capsys, change):
    weights = dict(vgg16)
    change(weights)
    with pytest.raises(UserError, match=r"vgg16.caffemodel: layer conv3_2 .*expected \[\(32, 32,"):
        tool(weights, capsys)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    done = run_tool("tools/init_vgg16.py", "--vgg16", path, check=False)
    assert done.returncode == 1 and "download.py vgg16" in done.stdout
    path.write_bytes(b"<html>not found</html>")
    done = run_tool("tools/init_vgg16.py", "--vgg16", path, check=False)
    assert done.returncode == 1
    assert "as vgg16, it has 22 bytes, expected 553432081" in done.stdout
    done = run_tool("tools/init_vgg16.py", "--vgg16", path, "--any-checksum",
                    "--out", tmp_path / "start.caffemodel", check=False)
    assert done.returncode == 1 and "not a caffemodel" in done.stdout
    assert not (tmp_path / "start.caffemodel").exists()


def test_without_any_file_both_downloads_are_named(tmp_path, monkeypatch):
    tool = load_tool("init_vgg16")
    (tmp_path / "data").mkdir()
    shutil.copy(REPOSITORY / "data" / "manifest.json", tmp_path / "data")
    monkeypatch.setattr(tool, "REPOSITORY", tmp_path)
    with pytest.raises(UserError) as raised:
        tool.find_source(None, False)
    assert "python tools/download.py vgg16 (527.8 MiB)" in str(raised.value)
    assert "python tools/download.py vgg16-convolutions (56.1 MiB)" in str(raised.value)


def test_the_convolutions_are_those_of_the_full_file():
    for path in (FULL, CONVOLUTIONS):
        if not path.is_file():
            pytest.skip(f"no {path}")
    full, convolutions = read_caffemodel(FULL), read_caffemodel(CONVOLUTIONS)
    assert taken(convolutions, full) == list(LAYERS)
