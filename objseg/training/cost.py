"""The arithmetic operations of a net, from its shapes alone.

Counted are the layers that multiply matrices: Convolution, Deconvolution, InnerProduct and LSTM,
at 2 operations per multiply-add. The others (ReLU, pooling, normalisation, softmax, biases …) do a
few operations per value, under 1 % of the nets here; Embed copies rows and multiplies nothing.
Functions take a loaded pycaffe net, and the names of its ``frozen`` layers, which are not learnt.
"""

from collections.abc import Collection
from typing import NamedTuple


class LayerCost(NamedTuple):
    """A layer and its operations per pass."""

    name: str
    type: str
    forward: int
    backward: int


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
    takes the gradient of its states.) Without any loss there is no backward.
    """
    reached, costs = set(), []  # blobs that something learnt is below
    trained = any(net.blob_loss_weights.values())
    for name, layer in zip(net._layer_names, net.layers):
        bottoms = net.bottom_names[name]
        learns = len(layer.blobs) > 0 and name not in frozen
        passes_down = bool(bottoms) and bottoms[0] in reached
        if learns or any(bottom in reached for bottom in bottoms):
            reached.update(net.top_names[name])
        forward = _operations(net, name, layer)
        backward = 0
        if trained and learns:
            backward += forward
        if trained and (passes_down or (layer.type == "LSTM" and learns)):
            backward += forward
        costs.append(LayerCost(name, layer.type, forward, backward))
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


def operations(net, frozen: Collection[str] = ()) -> tuple[int, int]:
    """Return the operations of one pass through ``net``, (forward, backward)."""
    costs = layer_costs(net, frozen)
    return sum(c.forward for c in costs), sum(c.backward for c in costs)
