"""The same net on two devices, layer by layer and as a whole.

A device is a function that makes Caffe compute there from then on: ``caffe.set_mode_cpu`` and
``caffe.set_mode_gpu``. One net runs on both, so weights and inputs are the same bits.

Layer by layer, every layer is given the reference's inputs, so an error shows in the layer that
makes it. The error of a layer is the greatest difference of a value, divided by the greatest
magnitude of the array it stands in.

Over a whole net roundings decide ties of max pooling and the signs that a ReLU looks at, and a
gradient then takes another way: with weights rounded to TF32 half of the gradient that reaches the
paper net's conv1_1 goes elsewhere, though the gradient of its weights is within 5 %. So a whole
net is compared in its values and in the gradients of its weights, and the error is the length
(Euclidean norm) of an array's difference, divided by the array's length.
"""

from typing import NamedTuple

import caffe
import numpy as np


class Limits(NamedTuple):
    """The greatest errors that pass: of a layer, and of a whole net forward and backward."""

    layer: float
    values: float
    gradients: float


LIMITS = {"float32": Limits(1e-3, 1e-3, 5e-2), "TF32": Limits(1e-2, 2e-2, 3e-1)}
"""By the arithmetic in force. float32 rounds at 6e-8, which the longest sums here (25,088 terms)
and fast convolutions carry to some 1e-5; TF32 rounds the factors at 5e-4. A wrong kernel, or one
that did not run, is wrong by something near 1."""


class Difference(NamedTuple):
    """How far an array of a layer is off.

    ``direction`` is forward or backward; ``greatest`` and ``length`` are the errors that the
    module's docstring defines.
    """

    layer: str
    type: str
    direction: str
    array: str
    greatest: float
    length: float


def greatest_error(expected, found):
    """Greatest difference of two arrays by the greatest magnitude of the first."""
    return _relative(np.abs(found - expected).max(), np.abs(expected).max())


def length_error(expected, found):
    """Euclidean length of the difference of two arrays by the length of the first."""
    return _relative(
        np.linalg.norm((found - expected).ravel()), np.linalg.norm(np.ravel(expected))
    )


def _relative(error, magnitude):
    return float(error / magnitude) if magnitude else float(error)


def first_computed(net):
    """Number of the first layer that computes: inputs and data layers stand before it."""
    return next(i for i, name in enumerate(net._layer_names) if net.bottom_names[name])


class Comparison:
    """Runs ``net``, whose inputs are set or whose data layers have run, on both devices.

    :meth:`layers` yields a Difference for every top, bottom gradient and weight gradient of every
    layer, and leaves the reference's values and gradients in the net; :meth:`whole` then runs the
    net at a stretch on the other device and yields a Difference for every blob's values and every
    weight's gradient.
    """

    def __init__(self, net, reference=caffe.set_mode_cpu, device=caffe.set_mode_gpu):
        self.net, self.reference, self.device = net, reference, device
        self.layer_names = list(net._layer_names)
        self.computed = range(first_computed(net), len(self.layer_names))
        self.trains = any(net.blob_loss_weights.values())

    def layers(self):
        """Compare layer by layer, forward and then, in a net with a loss, backward."""
        for index in self.computed:
            yield from self._forward(index)
        for index in reversed(self.computed) if self.trains else ():
            yield from self._backward(index)

    def whole(self):
        """Compare the whole net's run with what :meth:`layers` left."""
        expected = self._everything()
        self.device()
        self.net.clear_param_diffs()
        self.net._forward(self.computed[0], self.computed[-1])
        if self.trains:
            self.net._backward(self.computed[-1], self.computed[0])
        for (index, direction, array), found in self._everything().items():
            yield self._difference(
                index, direction, array, expected[index, direction, array], found
            )
        self.reference()

    def _everything(self):
        """Copies of all values and gradients of weights, by (layer number, direction, name)."""
        net, copies = self.net, {}
        makers = {  # of a blob computed in place the last one
            top: index for index in self.computed for top in net.top_names[self.layer_names[index]]
        }
        for top, index in makers.items():
            copies[index, "forward", top] = net.blobs[top].data.copy()
        for index in self.computed if self.trains else ():
            for number, blob in enumerate(net.layers[index].blobs):
                copies[index, "backward", f"weights {number}"] = blob.diff.copy()
        return copies

    def _forward(self, index):
        net, name = self.net, self.layer_names[index]
        tops = {top: net.blobs[top] for top in net.top_names[name]}
        bottoms = {b: net.blobs[b] for b in net.bottom_names[name]}
        given = {b: blob.data.copy() for b, blob in bottoms.items()}
        expected = self._run(self.reference, net._forward, index, tops, "data")
        for bottom, blob in bottoms.items():  # an in-place layer has overwritten it
            blob.data[...] = given[bottom]
        found = self._run(self.device, net._forward, index, tops, "data")
        for top, blob in tops.items():
            blob.data[...] = expected[top]
            yield self._difference(index, "forward", top, expected[top], found[top])
        self.reference()

    def _backward(self, index):
        net, name = self.net, self.layer_names[index]
        tops = {top: net.blobs[top] for top in net.top_names[name]}
        given = {top: blob.diff.copy() for top, blob in tops.items()}
        results = {b: net.blobs[b] for b in net.bottom_names[name]}
        results.update((f"weights {i}", blob) for i, blob in enumerate(net.layers[index].blobs))
        runs = []
        for device in (self.reference, self.device):
            for blob in net.layers[index].blobs:
                blob.diff[...] = 0  # Caffe adds to it
            for top, blob in tops.items():  # an in-place layer has overwritten it
                blob.diff[...] = given[top]
            runs.append(self._run(device, net._backward, index, results, "diff"))
        expected, found = runs
        for key, blob in results.items():
            blob.diff[...] = expected[key]
            yield self._difference(index, "backward", key, expected[key], found[key])
        self.reference()

    def _difference(self, index, direction, array, expected, found):
        return Difference(
            self.layer_names[index], self.net.layers[index].type, direction, array,
            greatest_error(expected, found), length_error(expected, found),
        )

    @staticmethod
    def _run(device, step, index, blobs, kind):
        device()
        step(index, index)
        return {key: getattr(blob, kind).copy() for key, blob in blobs.items()}


def summary(differences, field, limits):
    """Fold Differences into {layer type: {direction: worst error}} and the list that fails.

    ``field`` is the error to take, greatest or length; ``limits`` by direction. An error that is
    not a number fails.
    """
    worst, failed = {}, []
    for difference in differences:
        error = getattr(difference, field)
        of_type = worst.setdefault(difference.type, {})
        of_type[difference.direction] = greatest([error, of_type.get(difference.direction, 0.0)])
        if not error <= limits[difference.direction]:
            failed.append(difference)
    return worst, failed


def greatest(errors):
    """The greatest error; what is not a number is beyond any."""
    return max(errors, key=lambda error: np.inf if np.isnan(error) else error)
