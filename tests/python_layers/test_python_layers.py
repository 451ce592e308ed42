"""The Python layers inside real Caffe nets: values, gradients, reshaping, bad parameters."""

import caffe
import numpy as np
import pytest
import scipy.special

from objseg.errors import UserError
from objseg.numerics import (
    soft_iou_loss,
    spatial_coordinates,
    weighted_logistic_gradient,
    weighted_logistic_loss,
)

RANDOM = np.random.RandomState(0)


@pytest.fixture
def net_of(tmp_path):
    """A net of one Python layer over bottoms of the given shapes.

    With ``learnt`` the first bottom is a parameter and the top a loss, so that there is a
    gradient; else all bottoms are inputs.
    """
    def make(module, layer, shapes, param_str="", learnt=False):
        text = ""
        for index, shape in enumerate(shapes):
            dims = " ".join(f"dim: {d}" for d in shape)
            kind = "Parameter" if learnt and index == 0 else "Input"
            text += (f"layer {{ name: 'b{index}' type: '{kind}' top: 'b{index}' "
                     f"{kind.lower()}_param {{ shape {{ {dims} }} }} }}\n")
        bottoms = " ".join(f"bottom: 'b{index}'" for index in range(len(shapes)))
        weight = "loss_weight: 1 " if learnt else ""
        text += (f"layer {{ name: 'tested' type: 'Python' {bottoms} top: 'out' {weight}"
                 f"python_param {{ module: '{module}' layer: '{layer}' "
                 f"param_str: '{param_str}' }} }}\n")
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TEST)
    return make


def central_differences(net, weights, step):
    """Gradient of sum(weights * out) with respect to bottom 0, one value at a time."""
    bottom = net.params["b0"][0].data
    gradient = np.zeros(bottom.shape)
    for index in np.ndindex(*bottom.shape):
        value, totals = bottom[index], []
        for sign in (1, -1):
            bottom[index] = value + sign * step
            totals.append(np.sum(weights * net.forward()["out"].astype(np.float64)))
        bottom[index] = value
        gradient[index] = (totals[0] - totals[1]) / (2 * step)
    net.forward()
    return gradient


def test_l2_normalization_gives_unit_vectors_and_their_gradient(net_of):
    net = net_of("l2_normalization", "L2NormalizationLayer", [(2, 5, 2, 3)], learnt=True)
    x = RANDOM.randn(2, 5, 2, 3).astype(np.float32)
    net.params["b0"][0].data[...] = x
    out = net.forward()["out"].copy()
    for n, row, column in np.ndindex(2, 2, 3):
        vector = x[n, :, row, column].astype(np.float64)
        np.testing.assert_allclose(out[n, :, row, column], vector / np.linalg.norm(vector),
                                   rtol=1e-5, atol=1e-7)
    weights = RANDOM.randn(*out.shape)
    expected = central_differences(net, weights, 1e-2)
    net.blobs["out"].diff[...] = weights
    net.backward()
    gradient = net.params["b0"][0].diff
    np.testing.assert_allclose(gradient, expected, atol=2e-3)
    # Independent of the differences: the gradient is orthogonal to x, since the norm is fixed.
    np.testing.assert_allclose((gradient * x).sum(axis=1), 0, atol=1e-5)


def test_l2_normalization_keeps_a_zero_vector_and_stays_finite(net_of):
    net = net_of("l2_normalization", "L2NormalizationLayer", [(1, 4, 1, 2)], learnt=True)
    net.params["b0"][0].data[0, :, 0, 1] = [3, 0, 4, 0]
    assert net.forward()["out"][0, :, 0].T.tolist() == [[0, 0, 0, 0], pytest.approx([.6, 0, .8, 0])]
    net.blobs["out"].diff[...] = 1
    net.backward()
    assert np.isfinite(net.params["b0"][0].diff).all()


def test_spatial_coordinates_run_from_corner_to_corner(net_of):
    net = net_of("spatial_coordinates", "SpatialCoordinatesLayer", [(2, 3, 16, 16)],
                 '{"channels": 2}', learnt=True)
    out = net.forward()["out"]
    assert out.shape == (2, 2, 16, 16)
    assert out[1, :, 0, 0].tolist() == [-1, -1]
    assert out[1, :, 15, 15].tolist() == [1, 1]
    assert out[0, :, 0, 15].tolist() == [1, -1]  # x first, and x runs along a row
    np.testing.assert_allclose(out[0, 0, 3], -1 + 2 * np.arange(16) / 15, atol=1e-6)
    net.blobs["out"].diff[...] = 1
    net.backward()
    assert not net.params["b0"][0].diff.any()


def test_eight_coordinates_describe_each_cell(net_of):
    maps = spatial_coordinates(4, 5, 8)
    np.testing.assert_allclose(maps[0, 0], [-1, -.6, -.2, .2, .6], atol=1e-6)
    np.testing.assert_allclose(maps[2] - maps[0], 2 / 5, atol=1e-6)
    np.testing.assert_allclose(maps[3] - maps[1], 2 / 4, atol=1e-6)
    np.testing.assert_allclose(maps[4:6], (maps[0:2] + maps[2:4]) / 2, atol=1e-6)
    np.testing.assert_allclose(maps[6:], np.broadcast_to([[[1 / 5]], [[1 / 4]]], (2, 4, 5)))


def test_a_map_of_one_cell_is_at_the_centre():
    assert spatial_coordinates(1, 1).ravel().tolist() == [0, 0]


def test_weighted_logistic_loss_and_gradient(net_of):
    net = net_of("weighted_logistic_loss", "WeightedLogisticLossLayer",
                 [(2, 1, 3, 4), (2, 1, 3, 4)], '{"foreground": 3, "background": 1}', learnt=True)
    score = RANDOM.randn(2, 1, 3, 4) * 3
    label = RANDOM.rand(2, 1, 3, 4) < 0.4
    net.params["b0"][0].data[...] = score
    net.blobs["b1"].data[...] = label
    # log(1 + exp(-v)) = -log(sigmoid(v)), from another library
    by_scipy = np.where(label, -3 * np.log(scipy.special.expit(score)),
                        -np.log(scipy.special.expit(-score))).mean()
    assert float(net.forward()["out"]) == pytest.approx(by_scipy, rel=1e-5)
    expected = central_differences(net, 1.0, 1e-2)
    net.backward()
    np.testing.assert_allclose(net.params["b0"][0].diff, expected, atol=1e-4)


def test_soft_iou_is_added_to_the_loss_and_its_gradient(net_of):
    shape = (3, 1, 4, 5)
    net = net_of("weighted_logistic_loss", "WeightedLogisticLossLayer", [shape, shape],
                 '{"soft_iou": 2}', learnt=True)
    score, label = RANDOM.randn(*shape) * 3, RANDOM.rand(*shape) < 0.4
    net.params["b0"][0].data[...] = score
    net.blobs["b1"].data[...] = label
    p = scipy.special.expit(score)
    overlaps = []
    for q, m in zip(p, label):
        union = q[~m].sum() + m.sum()  # a pixel of the object counts whole, however probable
        overlaps.append((q[m].sum() + 1) / (union + 1))
    expected = weighted_logistic_loss(score, label, 3, 1) + 2 * np.mean(1 - np.array(overlaps))
    assert float(net.forward()["out"]) == pytest.approx(expected, rel=1e-5)
    slopes = central_differences(net, 1.0, 1e-2)
    net.backward()
    np.testing.assert_allclose(net.params["b0"][0].diff, slopes, atol=1e-4)


def test_soft_iou_of_a_sure_prediction_is_iou():
    truth = np.zeros((1, 1, 40, 50), bool)
    truth[..., 10:30, 10:30] = True
    found = np.roll(truth, 10, axis=3)  # half of the square
    score = np.where(found, 100, -100).astype(np.float32)
    assert soft_iou_loss(score, truth) == pytest.approx(1 - 201 / 601)
    assert soft_iou_loss(score, found) == 0
    assert soft_iou_loss(np.full_like(score, -100), np.zeros_like(truth)) == 0


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_the_loss_is_linear_for_huge_scores(size):
    score = np.array([size, -size, size, -size], np.float32)
    label = np.array([1, 1, 0, 0])
    with np.errstate(all="raise", under="ignore"):
        loss = weighted_logistic_loss(score, label, 3, 1)
        gradient = weighted_logistic_gradient(score, label, 3, 1)
    # right ones cost nothing, wrong ones their distance: 3 for foreground and 1 for background
    assert loss == pytest.approx((3 * size + size) / 4)
    np.testing.assert_allclose(gradient, [0, -3 / 4, 1 / 4, 0], atol=1e-7)


def test_the_loss_of_an_undecided_map_is_known():
    label = np.array([1, 0, 0, 0])
    assert weighted_logistic_loss(np.zeros(4), label, 3, 1) == pytest.approx(6 / 4 * np.log(2))


@pytest.mark.parametrize("module, layer", [
    ("l2_normalization", "L2NormalizationLayer"),
    ("spatial_coordinates", "SpatialCoordinatesLayer"),
])
def test_layers_follow_their_input(net_of, module, layer):
    net = net_of(module, layer, [(1, 3, 4, 4)])
    net.blobs["b0"].reshape(3, 3, 2, 5)
    net.reshape()
    assert net.forward()["out"].shape[0] == 3
    assert net.forward()["out"].shape[2:] == (2, 5)


def test_the_loss_follows_its_input(net_of):
    net = net_of("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2)] * 2)
    for name in ("b0", "b1"):
        net.blobs[name].reshape(4, 1, 8, 8)
        net.blobs[name].data[...] = 0
    assert float(net.forward()["out"]) == pytest.approx(np.log(2))


@pytest.mark.parametrize("module, layer, shapes, parameters, message", [
    ("l2_normalization", "L2NormalizationLayer", [(1, 3)], "", "expected \\(N, C, H, W\\)"),
    ("l2_normalization", "L2NormalizationLayer", [(1, 3, 2, 2)], '{"axis": 1}',
     "'axis' is unknown"),
    ("l2_normalization", "L2NormalizationLayer", [(1, 3, 2, 2)] * 2, "", "2 bottoms, expected 1"),
    ("spatial_coordinates", "SpatialCoordinatesLayer", [(1, 3, 2, 2)], '{"channels": 3}',
     "3 coordinate channels"),
    ("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2), (1, 1, 2, 3)], "",
     "expected the same"),
    ("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2)] * 2,
     '{"foreground": -1}', "foreground is -1"),
    ("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2)] * 2,
     '{"soft_iou": "much"}', "soft_iou is 'much'"),
    ("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2)] * 2,
     "{foreground: 1}", "not JSON"),
    ("weighted_logistic_loss", "WeightedLogisticLossLayer", [(1, 1, 2, 2)] * 2, "[3, 1]",
     "must be a JSON object"),
    ("ours_data", "OursDataLayer", [], '{"data": "nowhere"}', "'split' is missing"),
])
def test_a_bad_layer_names_its_problem(net_of, module, layer, shapes, parameters, message):
    with pytest.raises(UserError, match=message):
        net_of(module, layer, shapes, parameters)
