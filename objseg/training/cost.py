"""The cost of a net, from its shapes alone: operations, memory, bytes between GPU and memory.

Counted are the layers that multiply matrices: Convolution, Deconvolution, InnerProduct and LSTM,
at 2 operations per multiply-add. The others (ReLU, pooling, normalisation, softmax, biases …) do a
few operations per value, under 1 % of the nets here; Embed copies rows and multiplies nothing.
Functions take a loaded pycaffe net, and the names of its ``frozen`` layers, which are not learnt.
"""

from collections.abc import Collection
from typing import NamedTuple

FLOAT = 4
"""Bytes of Caffe's numbers."""

HISTORIES = {"SGD": 1, "Adam": 2}
"""Arrays of the parameters' size that a solver keeps between its steps."""

KEPT = {"Pooling": 1, "Dropout": 1, "BatchNorm": 2, "SoftmaxWithLoss": 2,
        "SigmoidCrossEntropyLoss": 2}
"""Private GPU buffers by layer type, in multiples of the bottom blob (Pooling: of the top).

Pooling keeps where each maximum was, Dropout what it dropped (in training alone), BatchNorm its
result and the deviations by which it divided; a loss keeps its probabilities, and an array that its
kernel counts in. On a CPU both losses have one array less.
"""

SHARING = {"Split": ("data",), "Reshape": ("data", "diff"), "Flatten": ("data", "diff")}
"""Arrays that the tops of a layer type share with its bottom: they take no memory of their own."""


class LayerCost(NamedTuple):
    """A layer's share: operations per pass, and bytes.

    ``parameters``, ``activations`` and ``gradients`` are the bytes of its weights and of its tops'
    data and gradients; ``kept`` are those of its private buffers.
    """

    name: str
    type: str
    forward: int
    backward: int
    parameters: int
    activations: int
    gradients: int
    kept: int


class Memory(NamedTuple):
    """An estimate in bytes: ``fixed`` whatever the batch, ``item`` for each of its items."""

    fixed: float
    item: float

    def total(self, batch: int) -> float:
        """Return the bytes at ``batch`` items."""
        return self.fixed + self.item * batch


def frozen_layers(parameters) -> set[str]:
    """Return the names of the layers of a NetParameter that are not learnt: all lr_mult are 0."""
    return {
        layer.name for layer in parameters.layer
        if layer.param and all(param.lr_mult == 0 for param in layer.param)
    }


def layer_costs(net, frozen: Collection[str] = ()) -> list[LayerCost]:
    """Return the LayerCost of every layer of ``net``, in its order.

    Backward multiplies once for the gradient of the weights if they are learnt, and once for that
    of the bottom if something below it is learnt: each costs as much as forward. (An LSTM always
    takes the gradient of its states.) Gradients of blobs are counted where something is learnt
    below; without any loss there are none.
    """
    reached, costs = set(), []  # blobs that something learnt is below
    trained = any(net.blob_loss_weights.values())
    for name, layer in zip(net._layer_names, net.layers):
        bottoms, tops = net.bottom_names[name], net.top_names[name]
        learns = len(layer.blobs) > 0 and name not in frozen
        passes_down = bool(bottoms) and bottoms[0] in reached
        if learns or any(bottom in reached for bottom in bottoms):
            reached.update(tops)
        own = [top for top in tops if top not in bottoms]  # not those computed in place
        held, shared = FLOAT * sum(net.blobs[top].count for top in own), SHARING.get(layer.type, ())
        forward = _operations(net, name, layer)
        backward = gradients = 0
        if trained:
            if learns:
                backward += forward
            if passes_down or (layer.type == "LSTM" and learns):
                backward += forward
            if "diff" not in shared and any(top in reached for top in own):
                gradients = held
        costs.append(LayerCost(
            name, layer.type, forward, backward, FLOAT * sum(blob.count for blob in layer.blobs),
            0 if "data" in shared else held, gradients, FLOAT * _kept(net, name, layer),
        ))
    return costs


def _operations(net, name, layer):
    """Return the operations of a forward pass through a layer."""
    bottoms, tops = net.bottom_names[name], net.top_names[name]
    if not len(layer.blobs):
        return 0
    weights = layer.blobs[0]
    if layer.type == "Convolution":  # weights (out, in / group, kernel …): one window per value
        return 2 * net.blobs[tops[0]].count * weights.count // weights.shape[0]
    if layer.type == "Deconvolution":  # weights (in, out / group, kernel …): one window per value
        return 2 * net.blobs[bottoms[0]].count * weights.count // weights.shape[0]
    if layer.type == "InnerProduct":  # weights (out, in)
        return 2 * net.blobs[bottoms[0]].count * weights.count // weights.shape[1]
    if layer.type == "LSTM":  # W_xc and W_hc at every step, W_static once per sequence
        steps, sequences = net.blobs[bottoms[0]].shape[:2]
        _, _, *static, recurrent = (blob.count for blob in layer.blobs)
        return 2 * sequences * (steps * (weights.count + recurrent) + sum(static))
    return 0


def _kept(net, name, layer):
    """Return the number of values in a layer's private buffers."""
    if layer.type not in KEPT:
        return 0
    ends = net.top_names if layer.type == "Pooling" else net.bottom_names
    return KEPT[layer.type] * net.blobs[ends[name][0]].count


def operations(net, frozen: Collection[str] = ()) -> tuple[int, int]:
    """Return the operations of one pass through ``net``, (forward, backward)."""
    costs = layer_costs(net, frozen)
    return sum(c.forward for c in costs), sum(c.backward for c in costs)


def training_memory(
    net, batch: int, solver: str = "SGD", frozen: Collection[str] = (), beside=None
) -> Memory:
    """Estimate the Memory of training ``net``, loaded with ``batch`` items, by a ``solver`` type.

    An item is what the data layer's ``batch`` counts: an expression, or an image for per-word. The
    estimate has the weights, their gradients and the solver's history, and data and gradients of
    every blob. ``beside`` is a net on the same weights that runs in turn, to validate: its blobs
    count as they are shaped. Left out are the few MB of an LSTM's unrolled steps, the column
    buffers of convolutions without cuDNN, and cuDNN's workspaces, which a net takes when it is made
    and are gone from the free memory by then.
    """
    costs = layer_costs(net, frozen)
    parameters = sum(c.parameters for c in costs) * (2 + HISTORIES[solver])
    item = sum(c.activations + c.gradients + c.kept for c in costs) / batch
    turn = sum(c.activations + c.kept for c in layer_costs(beside)) if beside else 0
    return Memory(parameters + turn, item)


def bus_bytes(net, frozen: Collection[str] = ()) -> dict[str, int]:
    """Return the bytes per iteration between GPU and memory, by name of each Python layer.

    A Python layer computes on the CPU, so its bottoms are copied there and its tops back; in
    backward their gradients, where something below is learnt. A blob that already is on the right
    side is counted all the same, and so is one that is copied twice.
    """
    moved = {}
    for cost, layer in zip(layer_costs(net, frozen), net.layers):
        if layer.type == "Python":
            blobs = net.bottom_names[cost.name] + net.top_names[cost.name]
            passes = 2 if cost.gradients else 1
            moved[cost.name] = passes * FLOAT * sum(net.blobs[blob].count for blob in blobs)
    return moved
