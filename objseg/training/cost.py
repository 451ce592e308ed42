"""The cost of a net by its shapes alone: operations, memory, and what crosses the bus.

Counted are the layers that multiply matrices: Convolution, Deconvolution, InnerProduct and LSTM,
at 2 operations a multiply-add. The others (ReLU, pooling, normalisation, softmax, biases …) do a
few operations a value, under 1 % of the nets here; Embed copies rows and multiplies nothing.
Functions take a loaded pycaffe net, and the names of its ``frozen`` layers, whose weights are held.
"""

from typing import NamedTuple

FLOAT = 4
"""Bytes of Caffe's numbers."""

HISTORIES = {"SGD": 1, "Adam": 2}
"""Arrays of the parameters' size that a solver keeps between its steps."""

KEPT = {"Pooling": 1, "Dropout": 1, "BatchNorm": 2, "SoftmaxWithLoss": 2,
        "SigmoidCrossEntropyLoss": 2}
"""Arrays that a layer on a GPU keeps to itself, of its bottom's size; Pooling's of its top's.

Where the maximum lay, and what was dropped (in training alone); BatchNorm its result and the
deviations by which it divided; a loss its probabilities, and one that its kernel counts in, which
SigmoidCrossEntropyLoss takes from its label: on a CPU both losses have one array less.
"""

SHARING = {"Split": ("data",), "Reshape": ("data", "diff"), "Flatten": ("data", "diff")}
"""Layers by what their tops share with the bottom instead of holding their own."""


class LayerCost(NamedTuple):
    """A layer's share: operations of a pass, bytes of its parameters and of what its tops hold.

    ``kept`` are bytes that it keeps to itself.
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

    def total(self, batch):
        """Bytes at ``batch`` items."""
        return self.fixed + self.item * batch


def frozen_layers(parameters):
    """Names of the layers of a NetParameter none of whose weights are learnt (lr_mult 0)."""
    return {
        layer.name for layer in parameters.layer
        if layer.param and all(param.lr_mult == 0 for param in layer.param)
    }


def layer_costs(net, frozen=()):
    """List the LayerCost of every layer of ``net`` in its order.

    Backward multiplies once for the gradient of the weights if they are learnt, and once for that
    of the bottom if something below it is learnt: each costs as much as forward. (An LSTM always
    takes the gradient of its states.) Gradients of blobs are counted where something is learnt
    below; without any loss there are none.
    """
    reached, costs = set(), []  # blobs that something learnt lies below
    trained = any(net.blob_loss_weights.values())
    for name, layer in zip(net._layer_names, net.layers):
        bottoms, tops = net.bottom_names[name], net.top_names[name]
        operations = _operations(net, name, layer)
        learns = len(layer.blobs) > 0 and name not in frozen
        passes_down = bool(bottoms) and bottoms[0] in reached
        if learns or any(bottom in reached for bottom in bottoms):
            reached.update(tops)
        parts = learns + (passes_down or (layer.type == "LSTM" and learns))
        own = [top for top in tops if top not in bottoms]  # not those computed in place
        shared = SHARING.get(layer.type, ())
        held = {
            kind: 0 if kind in shared else FLOAT * sum(net.blobs[top].count for top in own)
            for kind in ("data", "diff")
        }
        costs.append(LayerCost(
            name, layer.type, operations, operations * parts * trained,
            FLOAT * sum(blob.count for blob in layer.blobs), held["data"],
            held["diff"] * trained * any(top in reached for top in own),
            FLOAT * _kept(net, name, layer),
        ))
    return costs


def _operations(net, name, layer):
    """Operations of a forward pass through a layer."""
    bottoms, tops = net.bottom_names[name], net.top_names[name]
    if not len(layer.blobs):
        return 0
    weights = layer.blobs[0]
    if layer.type == "Convolution":  # weights (out, in / group, kernel …): one window a value
        return 2 * net.blobs[tops[0]].count * weights.count // weights.shape[0]
    if layer.type == "Deconvolution":  # weights (in, out / group, kernel …): one window a value
        return 2 * net.blobs[bottoms[0]].count * weights.count // weights.shape[0]
    if layer.type == "InnerProduct":  # weights (out, in)
        return 2 * net.blobs[bottoms[0]].count * weights.count // weights.shape[1]
    if layer.type == "LSTM":  # W_xc and W_hc at every step, W_static once a sequence
        steps, sequences = net.blobs[bottoms[0]].shape[:2]
        _, _, *static, recurrent = (blob.count for blob in layer.blobs)
        return 2 * sequences * (steps * (weights.count + recurrent) + sum(static))
    return 0


def _kept(net, name, layer):
    """Values that a layer keeps to itself."""
    if layer.type not in KEPT:
        return 0
    ends = net.top_names if layer.type == "Pooling" else net.bottom_names
    return KEPT[layer.type] * net.blobs[ends[name][0]].count


def operations(net, frozen=()):
    """Operations of one pass through ``net``, (forward, backward)."""
    costs = layer_costs(net, frozen)
    return sum(c.forward for c in costs), sum(c.backward for c in costs)


def training_memory(net, batch, solver="SGD", frozen=(), beside=None):
    """Estimate the Memory of training ``net``, loaded with ``batch`` items, by a ``solver`` type.

    Weights, their gradients and the solver's history; data and gradients of every blob. ``beside``
    is a net on the same weights that runs in turn, to validate: its blobs count as they are shaped.
    Left out are the few MB of an LSTM's unrolled steps, the column buffers of convolutions without
    cuDNN, and what a net takes when it is made, which is gone from the free memory by then: cuDNN's
    workspaces.
    """
    costs = layer_costs(net, frozen)
    parameters = sum(c.parameters for c in costs) * (2 + HISTORIES[solver])
    item = sum(c.activations + c.gradients + c.kept for c in costs) / batch
    turn = sum(c.activations + c.kept for c in layer_costs(beside)) if beside else 0
    return Memory(parameters + turn, item)


def bus_bytes(net, frozen=()):
    """Bytes an iteration moves between GPU and memory for the Python layers: {layer: bytes}.

    A Python layer computes on the CPU, so its bottoms come over and its tops go back; backward
    their gradients, where something below is learnt. A blob that already lies on the right side is
    counted all the same, and so is one that comes over twice.
    """
    moved = {}
    for cost, layer in zip(layer_costs(net, frozen), net.layers):
        if layer.type == "Python":
            blobs = net.bottom_names[cost.name] + net.top_names[cost.name]
            passes = 2 if cost.gradients else 1
            moved[cost.name] = passes * FLOAT * sum(net.blobs[blob].count for blob in blobs)
    return moved
