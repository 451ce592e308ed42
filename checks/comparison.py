"""The same net on two devices, layer by layer and as a whole.

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


class Side(NamedTuple):
    """A net, and the function that makes Caffe compute on the device that it is to run on."""

    net: caffe.Net
    use_device: Callable[[], object]


class Comparison:
    """Compares a net that is loaded twice, for the ``reference`` and for the ``device``.

    The reference's inputs are set; the device gets them and its weights.
    """

    def __init__(self, reference: Side, device: Side):
        self.sides = reference, device
        self.expected, self.found = reference.net, device.net
        names, net = list(reference.net._layer_names), reference.net
        self.tops = {index: net.top_names[name] for index, name in enumerate(names)}
        self.bottoms = {i: net.bottom_names[name] for i, name in enumerate(names)
                        if net.bottom_names[name]}
        self.computed, self.names = list(self.bottoms), names
        self.trains = any(net.blob_loss_weights.values())
        for layer, other in zip(self.expected.layers, self.found.layers):
            for blob, copy in zip(layer.blobs, other.blobs):
                copy.data[...] = blob.data
        _put(self.found, _copies(net, net.blobs, "data"), "data")

    def layers(self) -> Iterator[Difference]:
        """Compare layer by layer, forward and then, in a net with a loss, backward.

        Yields the :func:`greatest_error` of every top, bottom gradient and weight gradient, and
        leaves the whole net's values and gradients in the reference.
        """
        for index in self.computed:
            yield from self._forward(index)
        if self.trains:
            for index in reversed(self.computed):
                yield from self._backward(index)

    def _forward(self, index):
        given = _copies(self.expected, self.bottoms[index], "data")
        for net, use_device in self.sides:
            use_device()
            for top in self.tops[index]:
                net.blobs[top].data[...] = UNWRITTEN
            _put(net, given, "data")  # after the tops, which may share their memory
            net._forward(index, index)
        for top in self.tops[index]:
            arrays = (net.blobs[top].data for net in (self.expected, self.found))
            yield self._difference(index, "forward", top, greatest_error(*arrays))

    def _backward(self, index):
        tops, bottoms = self.tops[index], self.bottoms[index]
        values = _copies(self.expected, [*bottoms, *tops], "data")
        given, before = (_copies(self.expected, names, "diff") for names in (tops, bottoms))
        for net, use_device in self.sides:
            use_device()
            _put(net, values, "data")
            for blob in net.layers[index].blobs:
                blob.diff[...] = 0  # Caffe adds to it
            for bottom in bottoms:
                net.blobs[bottom].diff[...] = UNWRITTEN
            _put(net, given, "diff")  # after the bottoms, which may share their memory
            net._backward(index, index)
        for bottom in bottoms:
            arrays = [net.blobs[bottom].diff for net in (self.expected, self.found)]
            yield self._difference(index, "backward", bottom, greatest_error(*arrays))
            # where no gradient is computed, the old one stays
            np.copyto(arrays[0], before[bottom], where=arrays[0] == UNWRITTEN)
        yield from self._weights(index, greatest_error)

    def _weights(self, index, error):
        layers = (net.layers[index].blobs for net in (self.expected, self.found))
        for number, (blob, other) in enumerate(zip(*layers)):
            found = error(blob.diff, other.diff)
            yield self._difference(index, "backward", f"weights {number}", found)

    def whole(self) -> Iterator[Difference]:
        """Run the whole net on the device and compare with what :meth:`layers` left.

        Yields the :func:`length_error` of every blob's values and every weight's gradient.
        """
        net, use_device = self.sides[1]
        writers = {top: index for index in self.computed for top in self.tops[index]}  # the last
        inputs = _copies(self.expected, [n for n in net.blobs if n not in writers], "data")
        for name in writers:
            net.blobs[name].data[...] = UNWRITTEN
            if not net.blob_loss_weights[name]:
                net.blobs[name].diff[...] = 0  # as in a new net: no layer writes some of them
        _put(net, inputs, "data")  # a blob may share its memory with an input
        net.clear_param_diffs()
        use_device()
        net._forward(self.computed[0], self.computed[-1])
        for top, index in writers.items():
            error = length_error(self.expected.blobs[top].data, net.blobs[top].data)
            yield self._difference(index, "forward", top, error)
        if self.trains:
            net._backward(self.computed[-1], self.computed[0])
            for index in self.computed:
                yield from self._weights(index, length_error)

    def _difference(self, index, direction, array, error):
        layer = self.expected.layers[index]
        return Difference(self.names[index], layer.type, direction, array, error)


def _copies(net, names, kind):
    """Copy the data or diff of the blobs of these names."""
    return {name: getattr(net.blobs[name], kind).copy() for name in names}


def _put(net, arrays, kind):
    """Set the data or diff of the blobs to the arrays under the same names."""
    for name, array in arrays.items():
        getattr(net.blobs[name], kind)[...] = array


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
