"""How exact the convolutions of engine/kernels are, and which layers they leave alone."""

import numpy as np
import pytest
from support.kernel_nets import (
    CONVOLUTION,
    CONVOLUTION_7X7,
    SETS,
    assert_same_bits,
    chain,
    draw,
    error,
    layer,
    make_net,
    run,
)


def exact(x, weights, bias, dy):
    """Values and gradients of a convolution that keeps the plane, in float64: (y, dx, dw, db)."""
    x, weights, dy = (array.astype(np.float64) for array in (x, weights, dy))
    (height, width), side = x.shape[2:], weights.shape[2]
    margin = side // 2
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    y, dx, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(weights.shape)
    for i in range(side):
        for j in range(side):
            window = np.s_[:, :, i:i + height, j:j + width]
            tap = weights[:, :, i, j]
            y += np.moveaxis(np.tensordot(tap, padded[window], (1, 1)), 0, 1)
            dx[window] += np.moveaxis(np.tensordot(tap, dy, (0, 1)), 0, 1)
            dw[:, :, i, j] = np.tensordot(dy, padded[window], ((0, 2, 3), (0, 2, 3)))
    dx = dx[:, :, margin:margin + height, margin:margin + width]
    return y + bias[:, None, None], dx, dw, dy.sum((0, 2, 3))


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("shape, outputs", [
    ((1, 8, 64, 64), 8), ((2, 8, 5, 7), 17), ((3, 40, 37, 41), 24), ((2, 9, 1, 1), 11),
    ((2, 8, 3, 200), 16), ((1, 16, 200, 2), 8), ((5, 64, 16, 16), 64), ((1, 64, 130, 128), 64),
    ((2, 128, 30, 33), 200), ((1, 512, 32, 32), 512), ((1, 256, 33, 64), 512),
])
def test_a_convolution_is_as_exact_as_it_should_be(
    tmp_path, random, monkeypatch, shape, outputs, kernels
):
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    limits = {"y": 4e-6, "dx": 5e-6, "dy 0": 4e-6, "dy 1": 4e-6}
    assert_exact(tmp_path, random, shape, CONVOLUTION.format(outputs), limits)


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("shape, outputs", [
    ((1, 8, 16, 16), 8), ((2, 8, 5, 7), 17), ((2, 9, 1, 1), 11), ((3, 40, 31, 33), 100),
    ((2, 8, 3, 200), 16), ((6, 64, 16, 16), 48), ((9, 16, 13, 12), 33), ((1, 512, 16, 16), 64),
    ((1, 48, 16, 16), 512), ((1, 128, 32, 32), 30), ((1, 8, 1, 1024), 8),
])
def test_a_7x7_convolution_is_as_exact_as_it_should_be(
    tmp_path, random, monkeypatch, shape, outputs, kernels
):
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    limits = {"y": 5e-6, "dx": 1e-5, "dy 0": 3e-5, "dy 1": 4e-6}
    assert_exact(tmp_path, random, shape, CONVOLUTION_7X7.format(outputs), limits)


def assert_exact(folder, random, shape, parameters, limits):
    net = make_net(folder, shape, layer("Convolution", "x", "y", parameters))
    draw(net, random)
    net.blobs["x"].data[...] = np.maximum(net.blobs["x"].data, 0)  # as behind a ReLU
    weights, bias = net.params["y"]
    found = run(net)
    expected = exact(net.blobs["x"].data, weights.data, bias.data, net.blobs["y"].diff)
    for array, (name, limit) in zip(expected, limits.items()):
        assert error(found[name], array) <= limit, name


@pytest.mark.parametrize("convolution", [CONVOLUTION, CONVOLUTION_7X7])
def test_gradients_of_the_weights_are_added_to_what_is_there(tmp_path, random, convolution):
    net = make_net(tmp_path, (1, 8, 9, 9), layer("Convolution", "x", "y", convolution.format(8)))
    draw(net, random)
    once = run(net)
    net._backward(1, 0)
    for number, blob in enumerate(net.params["y"]):
        assert error(blob.diff, 2 * once[f"dy {number}"]) < 1e-6


@pytest.mark.parametrize("convolution", [CONVOLUTION, CONVOLUTION_7X7])
def test_an_empty_batch_adds_nothing_to_the_gradients(tmp_path, random, convolution):
    net = make_net(tmp_path, (1, 8, 9, 9), layer("Convolution", "x", "y", convolution.format(8)))
    draw(net, random)
    run(net)
    net.blobs["x"].reshape(0, 8, 9, 9)
    net.reshape()
    found = run(net)
    assert found["y"].shape == (0, 8, 9, 9)
    assert not found["dy 0"].any() and not found["dy 1"].any()


@pytest.mark.parametrize("convolution", [CONVOLUTION, CONVOLUTION_7X7])
def test_planes_without_a_pixel_are_an_empty_result(tmp_path, random, convolution):
    net = make_net(tmp_path, (1, 8, 9, 9), layer("Convolution", "x", "y", convolution.format(8)))
    draw(net, random)
    net.blobs["x"].reshape(1, 8, 0, 9)
    net.reshape()
    found = run(net)
    assert found["y"].shape == (1, 8, 0, 9)
    assert not found["dy 0"].any() and not found["dy 1"].any()


def test_a_convolution_without_bias_and_one_with_two_bottoms(tmp_path, random):
    shared = 'name: "w"'
    one, two = (
        make_net(tmp_path, (2, 8, 11, 6), layer(
            "Convolution", "x", "y", CONVOLUTION.format(9) + " bias_term: false",
            f"param {{ {shared} }} {more}",
        )) for more in ("", 'bottom: "x" top: "z"')
    )
    draw(one, random)
    two.blobs["x"].data[...] = one.blobs["x"].data
    two.params["y"][0].data[...] = one.params["y"][0].data
    one.forward()
    two.forward()
    for name in ("y", "z"):
        np.testing.assert_array_equal(two.blobs[name].data, one.blobs["y"].data)


@pytest.mark.parametrize("convolution", [CONVOLUTION, CONVOLUTION_7X7])
def test_stock_arithmetic_is_that_of_the_layer_with_another_im2col(
    tmp_path, random, monkeypatch, convolution
):
    """The general im2col never uses the kernels, and lays out the same matrix."""
    stock, general = (
        make_net(tmp_path, (2, 16, 21, 18),
                 layer("Convolution", "x", "y", convolution.format(24) + more))
        for more in ("", " force_nd_im2col: true")
    )
    draw(stock, random)
    draw(general, np.random.RandomState(0))
    expected = run(general)
    assert not np.array_equal(run(stock)["y"], expected["y"])
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    assert_same_bits(run(stock), expected)


@pytest.mark.parametrize("inputs, parameters", [
    (7, CONVOLUTION.format(16)), (16, CONVOLUTION.format(7)),
    (16, "num_output: 16 kernel_size: 3 pad: 1 stride: 2"), (16, "num_output: 16 kernel_size: 3"),
    (16, "num_output: 16 kernel_size: 3 pad: 1 group: 2"),
    (16, "num_output: 16 kernel_size: 3 pad: 1 dilation: 2"), (16, "num_output: 16 kernel_size: 1"),
    (16, "num_output: 16 kernel_size: 5 pad: 2"),
    (7, CONVOLUTION_7X7.format(16)), (16, CONVOLUTION_7X7.format(7)),
    (16, "num_output: 16 kernel_size: 7 pad: 3 stride: 2"), (16, "num_output: 16 kernel_size: 7"),
    (16, "num_output: 16 kernel_h: 3 kernel_w: 1 pad: 1"),
])
def test_other_convolutions_are_stock(tmp_path, random, monkeypatch, inputs, parameters):
    net = make_net(tmp_path, (2, inputs, 12, 13), layer("Convolution", "x", "y", parameters))
    draw(net, random)
    ours = run(net)
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    assert_same_bits(ours, run(net))


def test_7x7_on_a_large_plane_is_stock(tmp_path, random, monkeypatch):
    net = make_net(tmp_path, (1, 8, 33, 32), layer("Convolution", "x", "y",
                                                   CONVOLUTION_7X7.format(8)))
    draw(net, random)
    ours = run(net)
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    assert_same_bits(ours, run(net))


def test_gradients_agree_with_stock_on_the_same_forward_pass(tmp_path, random, monkeypatch):
    net = chain(tmp_path)
    draw(net, random)
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    stock = run(net)
    monkeypatch.delenv("CAFFE_STOCK_CPU")
    for name, array in run(net, forward=False).items():
        assert error(array, stock[name]) < (3e-5 if name == "dy 0" else 1e-5), name


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_where_it_should(tmp_path, random, value):
    net = make_net(tmp_path, (1, 8, 40, 40), layer("Convolution", "x", "y", CONVOLUTION.format(8)))
    draw(net, random)
    net.blobs["x"].data[0, 3, 20, 20] = net.blobs["y"].diff[0, 3, 20, 20] = value
    found = run(net)
    for name in ("y", "dx"):
        assert not np.isfinite(found[name][0, :, 19:22, 19:22]).any()
        # beyond the tiles that see the pixel nothing changes
        assert np.isfinite(found[name][0, :, :12]).all()
        assert np.isfinite(found[name][0, :, :, 28:]).all()
    assert not np.isfinite(found["dy 0"][:, 3]).any()
    assert not np.isfinite(found["dy 1"][3])
