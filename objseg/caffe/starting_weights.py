"""The weights that the first stage of training starts from."""

from pathlib import Path

import numpy as np

from objseg.caffe.names import LSTM
from objseg.caffe.weights import WeightsError
from objseg.files import atomic_path


def set_forget_bias(lstm_bias: np.ndarray, value: float = 1.0) -> None:
    """Set the forget gate's part of Caffe's LSTM bias (4 D,) in place; the gates are i, f, o, g.

    The authors' code starts with a forget bias of 1.
    """
    quarter = lstm_bias.shape[0] // 4
    lstm_bias[quarter:2 * quarter] = value


def fully_convolutional(weights: dict, net) -> dict[str, list[np.ndarray]]:
    """Fit VGG-16's weights to convolutions of the net, by layer name.

    ``weights`` as from :func:`read_caffemodel`. A fully connected layer over a 7x7 map is the
    convolution with a 7x7 kernel of the same numbers, so each array is reshaped to the net's.
    Returns {layer: arrays} of the trunk's layers from the first on: of fc6 to fc8 those that
    ``weights`` has in the net's size. Raises WeightsError where a layer before fc6 is missing or
    has another shape.
    """
    fitted = {}
    for name, blobs in net.params.items():
        found, expected = weights.get(name, []), [tuple(blob.shape) for blob in blobs]
        if [a.size for a in found] == [int(np.prod(s)) for s in expected]:
            fitted[name] = [a.reshape(s) for a, s in zip(found, expected)]
        elif name.startswith("conv"):
            raise WeightsError(
                f"layer {name} has blobs of shape {[a.shape for a in found]}, expected {expected}"
            )
        else:
            break  # a layer is worth nothing above another than it was trained on
    return fitted


def save_starting_weights(net, trunk: dict, path: Path) -> None:
    """Write the start of stage 1 to ``path``: the trunk, and an LSTM with its forget bias.

    ``net`` is :func:`models.ours.starting_net` with its random start, ``trunk`` {layer:
    arrays} shaped as its layers. Layers that the file lacks start from their fillers.
    """
    for name, arrays in trunk.items():
        for blob, array in zip(net.params[name], arrays):
            blob.data[...] = array
    set_forget_bias(net.params[LSTM][1].data)
    with atomic_path(path) as temporary:
        net.save(str(temporary))
