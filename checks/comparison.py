"""The same net on two devices, layer by layer and as a whole.

A device is a function that makes Caffe compute there from then on: ``caffe.set_mode_cpu`` and
``caffe.set_mode_gpu``. One net runs on both, so weights and inputs are the same bits.

Layer by layer, every layer gets the reference's inputs, so an error shows in the layer that makes
it. The error is the greatest difference of a value, divided by the greatest magnitude of its array.
The results are overwritten before each run, so a layer that writes nothing on a device shows too.

Over a whole net, rounding decides ties of max pooling and the signs that a ReLU sees, and a
gradient then takes another path: with weights rounded to TF32, half of the gradient that reaches
the paper net's conv1_1 arrives elsewhere, though the gradient of its weights is within 5 %. So a
whole net is compared in its values and in the gradients of its weights, and the error is the length
(Euclidean norm) of an array's difference, divided by the array's length.
"""

from collections.abc import Callable, Iterable, Iterator
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
and fast convolutions raise to some 1e-5; TF32 rounds the factors at 5e-4. The error of a wrong
kernel, or of one that did not run, is near 1."""

UNWRITTEN = -1234.5
"""The content, before a run, of every value that the run has to write."""


class Difference(NamedTuple):
    """The ``error`` of one array of a layer, ``direction`` forward or backward."""

    layer: str
    type: str
    direction: str
    array: str
    error: float


def greatest_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the greatest difference divided by the greatest magnitude of ``expected``."""
    return _relative(np.abs(found - expected).max(), np.abs(expected).max())


def length_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the length of the difference divided by the length of ``expected``."""
    return _relative(np.linalg.norm(np.ravel(found - expected)), np.linalg.norm(np.ravel(expected)))


def _relative(error, magnitude):
    return float(error / magnitude) if magnitude else float(error)


class Comparison:
    """Runs ``net``, whose inputs are set or whose data layers have run, on both devices."""

    def __init__(
        self, net: caffe.Net, reference: Callable[[], object] = caffe.set_mode_cpu,
        device: Callable[[], object] = caffe.set_mode_gpu,
    ):
        self.net, self.reference, self.device = net, reference, device
        self.layer_names = list(net._layer_names)
        self.computed = [i for i, name in enumerate(self.layer_names) if net.bottom_names[name]]
        self.trains = any(net.blob_loss_weights.values())
        self.inputs = {}  # copies of a layer's bottoms, which it overwrites if it works in place

    def layers(self) -> Iterator[Difference]:
        """Compare layer by layer, forward and then, in a net with a loss, backward.

        Yields the :func:`greatest_error` of every top, bottom gradient and weight gradient, and
        leaves the reference's values and gradients in the net.
        """
        for index in self.computed:
            yield from self._forward(index)
        if self.trains:
            for index in reversed(self.computed):
                yield from self._backward(index)

    def whole(self) -> Iterator[Difference]:
        """Run the whole net on the device and compare with what :meth:`layers` left in it.

        Yields the :func:`length_error` of every blob's values and every weight's gradient.
        """
        expected = self._results()
        self._clear()
        self.device()
        self.net._forward(self.computed[0], self.computed[-1])
        if self.trains:
            self.net._backward(self.computed[-1], self.computed[0])
        for (index, direction, array), found in self._results().items():
            error = length_error(expected[index, direction, array], found)
            yield self._difference(index, direction, array, error)
        self.reference()

    def _results(self):
        """Copy all values and gradients of weights: {(layer index, direction, name): array}."""
        net, copies = self.net, {}
        for top, index in self._last_writers().items():
            copies[index, "forward", top] = net.blobs[top].data.copy()
        if self.trains:
            for index in self.computed:
                for number, blob in enumerate(net.layers[index].blobs):
                    copies[index, "backward", f"weights {number}"] = blob.diff.copy()
        return copies

    def _last_writers(self):
        """Map each computed blob's name to the index of the last layer that writes it."""
        return {top: index for index in self.computed for top in self._tops(index)}

    def _clear(self):
        """Overwrite all results in the net; its inputs and the weights of its losses stay."""
        net, computed = self.net, self._last_writers()
        inputs = {name: blob for name, blob in net.blobs.items() if name not in computed}
        given = _copies(inputs, "data")
        for name in computed:
            net.blobs[name].data[...] = UNWRITTEN
            if not net.blob_loss_weights[name]:
                net.blobs[name].diff[...] = 0  # as in a new net: no layer writes some of them
        _put(inputs, "data", given)  # a blob may share its memory with an input
        net.clear_param_diffs()

    def _forward(self, index):
        net, tops, bottoms = self.net, self._tops(index), self._bottoms(index)
        given = self.inputs[index] = _copies(bottoms, "data")
        runs = []
        for use_device in (self.reference, self.device):
            use_device()
            for blob in tops.values():
                blob.data[...] = UNWRITTEN
            _put(bottoms, "data", given)  # after the tops, which may share their memory
            net._forward(index, index)
            runs.append(_copies(tops, "data"))
        expected, found = runs
        _put(tops, "data", expected)
        for top in tops:
            error = greatest_error(expected[top], found[top])
            yield self._difference(index, "forward", top, error)
        self.reference()

    def _backward(self, index):
        net, tops, bottoms = self.net, self._tops(index), self._bottoms(index)
        weights = {f"weights {i}": blob for i, blob in enumerate(net.layers[index].blobs)}
        values = _copies({**bottoms, **tops}, "data")
        given, before = _copies(tops, "diff"), _copies(bottoms, "diff")
        runs = []
        for use_device in (self.reference, self.device):
            use_device()
            # What a layer keeps of its forward pass, such as a dropout mask, only its own device
            # can read.
            _put(bottoms, "data", self.inputs[index])
            net._forward(index, index)
            for blob in weights.values():
                blob.diff[...] = 0  # Caffe adds to it
            for blob in bottoms.values():
                blob.diff[...] = UNWRITTEN
            _put(tops, "diff", given)  # after the bottoms, which may share their memory
            net._backward(index, index)
            runs.append(_copies({**bottoms, **weights}, "diff"))
        expected, found = runs
        _put({**bottoms, **tops}, "data", values)
        _put(weights, "diff", expected)
        for bottom, blob in bottoms.items():  # where no gradient is computed, the old one stays
            written = expected[bottom] != UNWRITTEN
            blob.diff[...] = np.where(written, expected[bottom], before[bottom])
        for array in expected:
            error = greatest_error(expected[array], found[array])
            yield self._difference(index, "backward", array, error)
        self.reference()

    def _tops(self, index):
        return {top: self.net.blobs[top] for top in self.net.top_names[self.layer_names[index]]}

    def _bottoms(self, index):
        return {b: self.net.blobs[b] for b in self.net.bottom_names[self.layer_names[index]]}

    def _difference(self, index, direction, array, error):
        return Difference(
            self.layer_names[index], self.net.layers[index].type, direction, array, error
        )


def _copies(blobs, kind):
    """Copy the data or diff of the blobs of a dictionary."""
    return {key: getattr(blob, kind).copy() for key, blob in blobs.items()}


def _put(blobs, kind, arrays):
    """Set the data or diff of the blobs to the arrays under the same keys."""
    for key, blob in blobs.items():
        getattr(blob, kind)[...] = arrays[key]


def summary(
    differences: Iterable[Difference], forward: float, backward: float
) -> tuple[dict[str, dict[str, float]], list[Difference]]:
    """Return the worst errors, {layer type: {direction: error}}, and all beyond the limits.

    ``forward`` and ``backward`` are the limits. An error that is not a number fails.
    """
    worst, failed = {}, []
    limits = {"forward": forward, "backward": backward}
    for difference in differences:
        of_type, direction = worst.setdefault(difference.type, {}), difference.direction
        of_type[direction] = greatest([difference.error, of_type.get(direction, 0.0)])
        if not difference.error <= limits[direction]:
            failed.append(difference)
    return worst, failed


def greatest(errors: Iterable[float]) -> float:
    """Return the greatest error; one that is not a number counts as the greatest."""
    return max(errors, key=lambda error: np.inf if np.isnan(error) else error)
