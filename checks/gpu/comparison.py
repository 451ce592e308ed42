"""The same net on two devices, layer by layer and as a whole.

A device is a function that makes Caffe compute there from then on: ``caffe.set_mode_cpu`` and
``caffe.set_mode_gpu``. One net runs on both, so weights and inputs are the same bits.

Layer by layer, every layer is given the reference's inputs, so an error shows in the layer that
makes it. The error of a layer is the greatest difference of a value, divided by the greatest
magnitude of the array it stands in. What a run has to write holds something else before it, so a
layer that does nothing on a device shows too.

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


UNWRITTEN = -1234.5
"""The content, before a run, of every value that the run has to write."""


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
        self.computed = [i for i, name in enumerate(self.layer_names) if net.bottom_names[name]]
        self.trains = any(net.blob_loss_weights.values())
        self.inputs = {}  # copies of a layer's bottoms, which it overwrites if it works in place

    def layers(self):
        """Compare layer by layer, forward and then, in a net with a loss, backward."""
        for index in self.computed:
            yield from self._forward(index)
        for index in reversed(self.computed) if self.trains else ():
            yield from self._backward(index)

    def whole(self):
        """Compare the whole net's run with what :meth:`layers` left."""
        expected = self._everything()
        self._clear()
        self.device()
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
        for top, index in self._makers().items():
            copies[index, "forward", top] = net.blobs[top].data.copy()
        for index in self.computed if self.trains else ():
            for number, blob in enumerate(net.layers[index].blobs):
                copies[index, "backward", f"weights {number}"] = blob.diff.copy()
        return copies

    def _makers(self):
        """The number of the layer that computes a blob, by name; of one in place the last."""
        return {top: index for index in self.computed for top in self._tops(index)}

    def _clear(self):
        """Take all results out of the net; its inputs and the weights of its losses stay."""
        net, made = self.net, self._makers()
        inputs = {name: blob for name, blob in net.blobs.items() if name not in made}
        given = _copies(inputs, "data")
        for name in made:
            net.blobs[name].data[...] = UNWRITTEN
            if not net.blob_loss_weights[name]:
                net.blobs[name].diff[...] = 0  # as in a new net: no layer writes some of them
        _put(inputs, "data", given)  # a blob may share its memory with an input
        net.clear_param_diffs()

    def _forward(self, index):
        net, tops, bottoms = self.net, self._tops(index), self._bottoms(index)
        given = self.inputs[index] = _copies(bottoms, "data")
        runs = []
        for device in (self.reference, self.device):
            device()
            for blob in tops.values():
                blob.data[...] = UNWRITTEN
            _put(bottoms, "data", given)  # after the tops, whose memory may be theirs
            net._forward(index, index)
            runs.append(_copies(tops, "data"))
        expected, found = runs
        _put(tops, "data", expected)
        for top in tops:
            yield self._difference(index, "forward", top, expected[top], found[top])
        self.reference()

    def _backward(self, index):
        net, tops, bottoms = self.net, self._tops(index), self._bottoms(index)
        weights = {f"weights {i}": blob for i, blob in enumerate(net.layers[index].blobs)}
        values = _copies({**bottoms, **tops}, "data")
        given, before = _copies(tops, "diff"), _copies(bottoms, "diff")
        runs = []
        for device in (self.reference, self.device):
            device()
            # What a layer notes forward, such as what was dropped, is not the same on all devices.
            _put(bottoms, "data", self.inputs[index])
            net._forward(index, index)
            for blob in weights.values():
                blob.diff[...] = 0  # Caffe adds to it
            for blob in bottoms.values():
                blob.diff[...] = UNWRITTEN
            _put(tops, "diff", given)  # after the bottoms, whose memory may be theirs
            net._backward(index, index)
            runs.append(_copies({**bottoms, **weights}, "diff"))
        expected, found = runs
        _put({**bottoms, **tops}, "data", values)
        _put(weights, "diff", expected)
        for bottom, blob in bottoms.items():  # without a gradient there it keeps what it had
            written = expected[bottom] != UNWRITTEN
            blob.diff[...] = np.where(written, expected[bottom], before[bottom])
        for key in expected:
            yield self._difference(index, "backward", key, expected[key], found[key])
        self.reference()

    def _tops(self, index):
        return {top: self.net.blobs[top] for top in self.net.top_names[self.layer_names[index]]}

    def _bottoms(self, index):
        return {b: self.net.blobs[b] for b in self.net.bottom_names[self.layer_names[index]]}

    def _difference(self, index, direction, array, expected, found):
        return Difference(
            self.layer_names[index], self.net.layers[index].type, direction, array,
            greatest_error(expected, found), length_error(expected, found),
        )


def _copies(blobs, kind):
    """Copies of the data or diff of the blobs of a dictionary, by its keys."""
    return {key: getattr(blob, kind).copy() for key, blob in blobs.items()}


def _put(blobs, kind, arrays):
    """Set the data or diff of the blobs to arrays under the same keys."""
    for key, blob in blobs.items():
        getattr(blob, kind)[...] = arrays[key]


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
