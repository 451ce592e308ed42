"""The names of layers and blobs that code outside of models/ relies on.

A net written by hand works with the tools if it keeps them. Besides these, a method's data layer
and its scorer agree on the names of inputs: "image", "tokens", "continuation" and the like.
"""

DATA = "data"
"""The data layer of a train net, a :class:`streaming.StreamingLayer`, in each phase."""

LOSS = "loss"
"""The scalar that training minimises."""

FEATURES = "fc8"
"""The trunk's last layer and blob; the layers after it are the head, which runs alone for further
expressions about an image."""

EMBEDDING = "embedding"
"""The layer whose weights (V, D) have a row for each word of the vocabulary."""

LSTM = "lstm"
"""The layer whose forget gate starts at a bias of 1."""


def data_layer(net):
    """Return the data layer object of a caffe.Net for training."""
    return net.layers[list(net._layer_names).index(DATA)]


def head(net) -> str:
    """Return the name of the first layer after the trunk of a caffe.Net."""
    names = list(net._layer_names)
    return names[names.index(FEATURES) + 1]
