"""Small nets of the layers that engine/kernels computes."""

from pathlib import Path

import caffe
import numpy as np
import pytest

PROCESSOR = Path("/proc/cpuinfo").read_text()
SETS = [
    pytest.param(name, marks=pytest.mark.skipif(flag not in PROCESSOR, reason=f"no {name} here"))
    for name, flag in (("plain", ""), ("AVX2", " avx2 "), ("AVX-512", " avx512dq "))
]
CONVOLUTION, CONVOLUTION_7X7 = ("num_output: {} " + f"kernel_size: {side} pad: {side // 2}"
                                for side in (3, 7))


def layer(kind, bottom, top, parameters="", more=""):
    name = {"Convolution": "convolution", "Pooling": "pooling", "ReLU": "relu"}[kind]
    return (f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" '
            f'{name}_param {{ {parameters} }} {more} }}')


def make_net(folder, shape, *layers, phase=caffe.TRAIN):
    """A net of ``layers`` on the blob x of a shape, whose gradient is computed, too."""
    dims = " ".join(f"dim: {size}" for size in shape)
    path = folder / f"net{len(list(folder.iterdir()))}.prototxt"
    path.write_text(
        f'force_backward: true layer {{ name: "x" type: "Input" top: "x" '
        f'input_param {{ shape {{ {dims} }} }} }} {" ".join(layers)}'
    )
    return caffe.Net(str(path), phase)


def draw(net, random):
    """Fill the input, all weights, and the gradient of the last blob."""
    for blob in (net.blobs["x"], *(blob for blobs in net.params.values() for blob in blobs)):
        scale = (2 / max(1, blob.data[0].size)) ** 0.5 if blob is not net.blobs["x"] else 1
        blob.data[...] = random.normal(0, scale, blob.data.shape)
    last = list(net.blobs.values())[-1]
    last.diff[...] = random.normal(0, 1, last.data.shape)


def run(net, forward=True):
    """Pass forward and backward; return copies of all values and gradients ({name: array})."""
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    if forward:
        net.forward()
    net._backward(len(net.layers) - 1, 0)
    found = {name: blob.data.copy() for name, blob in net.blobs.items()}
    found.update({f"d{name}": blob.diff.copy() for name, blob in net.blobs.items()})
    found.update({f"d{name} {number}": blob.diff.copy()
                  for name, blobs in net.params.items() for number, blob in enumerate(blobs)})
    return found


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def error(found, expected):
    """The largest difference over the largest value."""
    return np.abs(found - expected).max() / np.abs(expected).max()


def chain(folder, shape=(2, 8, 26, 22), **settings):
    """A net of the layers that have kernels: three convolutions, ReLU, pooling.

    The last convolution is of 7x7, and of a plane of a sixteenth of the input's pixels.
    """
    half = "pool: MAX kernel_size: 2 stride: 2"
    return make_net(
        folder, shape, layer("Convolution", "x", "a", CONVOLUTION.format(24)),
        layer("ReLU", "a", "r"), layer("Pooling", "r", "p", half),
        layer("Convolution", "p", "b", CONVOLUTION.format(16)), layer("Pooling", "b", "q", half),
        layer("Convolution", "q", "y", CONVOLUTION_7X7.format(50)), **settings,
    )
