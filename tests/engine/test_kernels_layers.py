"""The other layers of engine/kernels, whole nets, memory, and the variables that choose."""

import os
import subprocess
import sys

import caffe
import numpy as np
import pytest
from support.kernel_nets import (
    CONVOLUTION,
    SETS,
    assert_same_bits,
    draw,
    error,
    layer,
    make_net,
    run,
)

from objseg.files import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "engine" / "check"))
from compare_builds import fill, inputs  # noqa: E402

# ---- pooling and the rectifier ----

UNUSUAL = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-42, -3e38]


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (1, 2, 6, 34), (2, 3, 64, 30), (1, 1, 8, 5)])
def test_pooling_has_stocks_bits_and_places(tmp_path, random, monkeypatch, shape, kernels):
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    net = make_net(tmp_path, shape, layer("Pooling", "x", "y", "kernel_size: 2 stride: 2"))
    draw(net, random)
    net.blobs["x"].data[...] = random.randint(-2, 3, shape)  # many ties
    ours = run(net)  # the gradient says where the maxima are
    net.blobs["x"].data[...] = random.choice(UNUSUAL, shape)
    net.forward()
    unusual = net.blobs["y"].data.copy()
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    net.forward()
    np.testing.assert_array_equal(unusual.view(np.int32), net.blobs["y"].data.view(np.int32))
    net.blobs["x"].data[...] = ours["x"]
    assert_same_bits(run(net), ours)


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("slope", [0, 0.1])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("count", [1, 15, 131, 70003])
def test_the_rectifier_has_stocks_bits(
    tmp_path, random, monkeypatch, count, in_place, slope, kernels
):
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    net = make_net(tmp_path, (1, count), layer("ReLU", "x", "x" if in_place else "y",
                                               f"negative_slope: {slope}"))
    last = list(net.blobs)[-1]
    values = np.where(random.rand(2, count) < 0.5, random.choice(UNUSUAL, (2, count)),
                      random.normal(0, 1, (2, count))).astype(np.float32)
    found = []
    for stock in "01":
        monkeypatch.setenv("CAFFE_STOCK_CPU", stock)
        net.blobs["x"].data[...], net.blobs[last].diff[...] = values
        result = run(net)
        found.append([result[last], result["dx"]])
    for ours, stock in zip(*found):
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(stock))
        numbers = ~np.isnan(ours)
        np.testing.assert_array_equal(ours[numbers].view(np.int32), stock[numbers].view(np.int32))


# ---- whole nets, memory, variables ----


@pytest.mark.parametrize("size", ["slim", pytest.param("paper", marks=pytest.mark.slow)])
def test_the_scores_of_the_whole_net_agree_with_stock(monkeypatch, random, size):
    folder = {"slim": "prototxt/slim", "paper": "prototxt"}[size]
    net = caffe.Net(str(REPOSITORY / folder / "deploy_highres.prototxt"), caffe.TEST)
    fill(net, random)
    given = inputs(size, random)
    for name in net.inputs:
        if name in given:
            net.blobs[name].reshape(*given[name].shape)
            net.blobs[name].data[...] = given[name]
    ours = {name: array.copy() for name, array in net.forward().items()}
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    for name, array in net.forward().items():
        assert error(ours[name], array) < 1e-5, name


PEAK = """
import re, sys, caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
net.forward()
net.backward()
print(caffe.cpu_kernels(), re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def test_no_memory_is_taken_for_im2col(tmp_path):
    size = 700
    make_net(tmp_path, (1, 16, size, size), layer("Convolution", "x", "y", CONVOLUTION.format(8)))
    peaks = {}
    for stock in "01":
        kernels, peak = subprocess.run(
            [sys.executable, "-c", PEAK, tmp_path / "net0.prototxt"], check=True, text=True,
            stdout=subprocess.PIPE, env={**os.environ, "CAFFE_STOCK_CPU": stock},
        ).stdout.split()
        assert (kernels == "stock") == (stock == "1")
        peaks[stock] = int(peak) * 1024
    assert peaks["1"] - peaks["0"] > 0.6 * 16 * 9 * size**2 * 4


@pytest.mark.parametrize("variable, value, said", [
    ("CAFFE_STOCK_CPU", "yes", "CAFFE_STOCK_CPU is 'yes', expected 0 or 1"),
    ("CAFFE_CPU_KERNELS", "avx", "CAFFE_CPU_KERNELS is 'avx', this processor has: plain"),
])
def test_an_unknown_value_ends_with_a_message(variable, value, said):
    done = subprocess.run(
        [sys.executable, "-c", "import caffe; caffe.cpu_kernels()"], capture_output=True, text=True,
        env={**os.environ, variable: value, "GLOG_logtostderr": "1"},
    )
    assert done.returncode != 0 and said in done.stderr


def test_the_kernels_are_named(monkeypatch):
    assert caffe.cpu_kernels() in ("plain", "AVX2", "AVX-512")
    monkeypatch.setenv("CAFFE_CPU_KERNELS", "plain")
    assert caffe.cpu_kernels() == "plain"
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    assert caffe.cpu_kernels() == "stock"
