"""The steps of SGD and Adam of engine/kernels, against stock Caffe and in float64."""

import caffe
import numpy as np
import pytest
from support.kernel_nets import PROCESSOR, SETS
from threadpoolctl import threadpool_info, threadpool_limits

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 37 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 2001 }
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 } }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" inner_product_param { num_output: 7 }
        param { name: "shared" lr_mult: 0.1 } param { lr_mult: 0 decay_mult: 0 } }
layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" inner_product_param { num_output: 7 }
        param { name: "shared" } param { lr_mult: 0 } }
"""
SGD = 'type: "SGD" momentum: 0.9 '
ADAM = 'type: "Adam" momentum: 0.9 momentum2: 0.99 delta: 1e-6 '
FIXED = 'base_lr: 0.01 lr_policy: "fixed" weight_decay: 0.0005 '
VARIANTS = {
    "fixed": FIXED,
    "step": 'base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 2 weight_decay: 0.01',
    "poly, two passes": 'base_lr: 0.1 lr_policy: "poly" power: 1 max_iter: 9 iter_size: 2',
    "clipped": FIXED + "clip_gradients: 2 iter_size: 2",
}


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A function that takes five steps on the same gradients; returns arrays ({name: [array]})."""
    def take(parameters, stock=False):
        monkeypatch.setenv("CAFFE_STOCK_CPU", str(int(stock)))
        (tmp_path / "net.prototxt").write_text(NET)
        (tmp_path / "solver.prototxt").write_text(
            f'net: "{tmp_path}/net.prototxt" snapshot_prefix: "{tmp_path}/s" {parameters}'
        )
        solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
        random = np.random.RandomState(0)
        blobs = {f"{name} {i}": blob for name, blobs in solver.net.params.items()
                 for i, blob in enumerate(blobs) if (name, i) != ("c", 0)}  # which is b's
        for blob in blobs.values():
            blob.data[...] = random.randn(*blob.shape)
        found = {f"{kind} of {name}": [getattr(blob, kind).copy()] for name, blob in blobs.items()
                 for kind in ("data", "diff")}
        for _ in range(5):
            for blob in blobs.values():
                blob.diff[...] = random.randn(*blob.shape)
            solver.apply_update()
            for name, blob in blobs.items():
                found[f"data of {name}"].append(blob.data.copy())
                found[f"diff of {name}"].append(blob.diff.copy())
        return found
    return take


def assert_same_bits(found, expected):
    for name in expected:
        np.testing.assert_array_equal(np.array(found[name]).view(np.int32),
                                      np.array(expected[name]).view(np.int32), err_msg=name)


def blas_rounds_alike():
    """Whether OpenBLAS fuses the products and sums of a whole array, as AVX-512 of ours does.

    Its kernels for AVX2 do not in the last elements of an array.
    """
    return {library.get("architecture") for library in threadpool_info()} & {
        "SkylakeX", "Cooperlake", "SapphireRapids"
    }


@pytest.mark.parametrize("kernels", SETS[1:])
@pytest.mark.parametrize("variant", VARIANTS)
def test_sgd_has_stocks_bits(steps, monkeypatch, variant, kernels):
    if not blas_rounds_alike():
        pytest.skip("OpenBLAS does not round the last elements of an array as the others here")
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    assert_same_bits(steps(SGD + VARIANTS[variant]), steps(SGD + VARIANTS[variant], stock=True))


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", [SGD, ADAM], ids=["SGD", "Adam"])
def test_steps_agree_with_stock(steps, monkeypatch, kind, variant, kernels):
    """Adam's root is rounded here as IEEE 754 says; stock's power of 0.5 is not always."""
    monkeypatch.setenv("CAFFE_CPU_KERNELS", kernels)
    expected = steps(kind + VARIANTS[variant], stock=True)
    for name, arrays in steps(kind + VARIANTS[variant]).items():
        np.testing.assert_allclose(arrays, expected[name], rtol=2e-6, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", [SGD, ADAM], ids=["SGD", "Adam"])
def test_steps_are_those_of_the_papers(steps, kind):
    """In float64: momentum with weight decay, and algorithm 1 of Kingma and Ba 2015."""
    found, random = steps(kind + FIXED), np.random.RandomState(0)
    factors = {"a 0": (1, 1), "a 1": (2, 0), "b 0": (0.1, 1), "b 1": (0, 0), "c 1": (0, 1)}
    shapes = {name: found[f"data of {name}"][0].shape for name in factors}
    data = {name: random.randn(*shape) for name, shape in shapes.items()}
    mean, square = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
    for t in range(1, 6):
        for name, shape in shapes.items():
            rate, decay = 0.01 * factors[name][0], 0.0005 * factors[name][1]
            gradient = random.randn(*shape) + decay * data[name]
            if kind == SGD:
                mean[name] = 0.9 * mean[name] + rate * gradient
                data[name] = data[name] - mean[name]
            else:
                mean[name] = 0.9 * mean[name] + 0.1 * gradient
                square[name] = 0.99 * square[name] + 0.01 * gradient**2
                # delta is added to the root before the correction of its bias
                root = np.sqrt(square[name] / (1 - 0.99**t)) + 1e-6 / np.sqrt(1 - 0.99**t)
                data[name] = data[name] - rate * mean[name] / (1 - 0.9**t) / root
            np.testing.assert_allclose(found[f"data of {name}"][t], data[name], atol=5e-6)


@pytest.mark.parametrize("kind", [SGD, ADAM], ids=["SGD", "Adam"])
def test_neither_threads_nor_vectors_change_a_bit(steps, monkeypatch, kind):
    with threadpool_limits(1, user_api="blas"):
        expected = steps(kind + FIXED)
    for threads in (2, 3, 7):
        with threadpool_limits(threads, user_api="blas"):
            assert_same_bits(steps(kind + FIXED), expected)
    if " avx512dq " in PROCESSOR:
        monkeypatch.setenv("CAFFE_CPU_KERNELS", "AVX2")
        assert_same_bits(steps(kind + FIXED), expected)


@pytest.mark.parametrize("parameters", [
    'type: "AdaGrad"', 'type: "Nesterov" momentum: 0.9', 'type: "RMSProp" rms_decay: 0.98',
    'type: "AdaDelta" momentum: 0.95 delta: 1e-6', 'type: "SGD"',
    SGD + 'regularization_type: "L1"', ADAM + 'regularization_type: "L1"',
])
def test_other_steps_are_stocks(steps, parameters):
    assert_same_bits(steps(FIXED + parameters), steps(FIXED + parameters, stock=True))
