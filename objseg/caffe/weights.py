"""Weight files: reading a caffemodel without building its net, and making starting weights."""

import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from objseg.caffe.names import EMBEDDING, LSTM
from objseg.errors import UserError
from objseg.files import atomic_path


class WeightsError(UserError):
    """A weight file that cannot be used; the message names it, and what was found and expected."""


def _read_layers(path):
    """Layers with blobs of a caffemodel, as {name: [BlobProto]}."""
    from caffe.proto import caffe_pb2
    from google.protobuf.message import DecodeError

    message = caffe_pb2.NetParameter()
    try:
        with open(path, "rb") as stream, warnings.catch_warnings(record=True) as stopped_early:
            warnings.simplefilter("always")
            message.ParseFromString(stream.read())
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    except DecodeError as error:
        raise WeightsError(f"{path}: not a caffemodel, or a broken one ({error})") from error
    if stopped_early:  # protobuf only warns when it stops in the middle of a foreign file
        raise WeightsError(f"{path}: not a caffemodel ({stopped_early[0].message})")
    # Files older than Caffe 1.0, VGG-16's among them, keep their layers in another field.
    layers = {layer.name: layer.blobs for layer in message.layer or message.layers if layer.blobs}
    if not layers:
        raise WeightsError(f"{path}: a caffemodel without any weights")
    return layers


def _shape(blob):
    # VGG-16's file has the four numbers that came before BlobShape.
    return tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)


def _trimmed(shape):
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def read_caffemodel(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Read a caffemodel; returns {layer name: [float32 arrays]} of the layers that have blobs.

    Raises WeightsError when the file is missing or is no caffemodel.
    """
    return {
        name: [np.array(blob.data, np.float32).reshape(_shape(blob)) for blob in blobs]
        for name, blobs in _read_layers(path).items()
    }


def write_caffemodel(path: str | Path, weights: dict[str, list[np.ndarray]]) -> None:
    """Write ``weights`` {layer name: [float32 arrays]}, as :func:`read_caffemodel` returns them."""
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter()
    for name, arrays in weights.items():
        layer = net.layer.add(name=name)
        for array in arrays:
            layer.blobs.add(shape={"dim": array.shape}, data=array.ravel().tolist())
    Path(path).write_bytes(net.SerializeToString())


def check_fits(net, path: str | Path) -> list[str]:
    """Raise WeightsError unless the layers that ``path`` shares with ``net`` have equal shapes.

    Caffe itself aborts the process on a mismatch. Returns the names of the layers of the net that
    the file has no weights for.
    """
    given = _read_layers(path)
    for name, blobs in net.params.items():
        if name not in given:
            continue
        expected = [tuple(blob.shape) for blob in blobs]
        found = [_shape(blob) for blob in given[name]]
        for blob, shape in zip(given[name], found):
            numbers = len(blob.data or blob.double_data)
            if numbers != int(np.prod(shape)):
                raise WeightsError(
                    f"{path}: layer {name} holds {numbers} numbers for a blob of shape {shape}; "
                    "the file is damaged: copy or train it again"
                )
        # Files older than BlobShape pad a bias to four axes, which Caffe accepts.
        if [_trimmed(shape) for shape in expected] != [_trimmed(shape) for shape in found]:
            raise WeightsError(
                f"{path}: layer {name} has blobs {found}, the net expects {expected}; "
                "the file belongs to a net of another size"
            )
    return [name for name in net.params if name not in given]


def arrays_digest(net, layers: Iterable[str]) -> str:
    """Return one sha256 of the weights that ``net`` has in some of its ``layers``."""
    found = hashlib.sha256()
    for layer in sorted(layers):
        for blob in net.params[layer]:
            found.update(f"{layer} {tuple(blob.shape)}".encode())
            found.update(blob.data.tobytes())
    return found.hexdigest()


def layer_not_finite(net) -> str | None:
    """Return the name of the first layer of ``net`` with a weight that is NaN or Inf, or None."""
    for name, blobs in net.params.items():
        if not all(np.isfinite(blob.data).all() for blob in blobs):
            return name
    return None


def check_finite(net, path: str | Path) -> None:
    """Raise WeightsError when a weight that ``net`` took from the file ``path`` is NaN or Inf."""
    name = layer_not_finite(net)
    if name is not None:
        raise WeightsError(
            f"{path}: a weight of the layer {name} is not finite: its training diverged; take an "
            "earlier snapshot, or train again at a lower learning rate"
        )


def read_net(path: str | Path):
    """Read a net's prototxt; returns a NetParameter. Raises WeightsError where it is none."""
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    try:
        net = text_format.Parse(Path(path).read_text(encoding="utf-8"), caffe_pb2.NetParameter())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{path}: not a net's prototxt ({error}); write the nets again with: "
            "python tools/generate_prototxt.py"
        ) from error
    if not net.layer:
        raise WeightsError(
            f"{path}: a net without layers; write the nets again with: "
            "python tools/generate_prototxt.py"
        )
    return net


def load_net(
    deploy: str | Path, weights: str | Path | None, fixed: tuple[str, ...] = (),
    convolutions: tuple[Path, str] | None = None,
):
    """Return the caffe.Net of a ``deploy`` prototxt with its ``weights`` (None: random ones).

    The layers ``fixed`` are not learnt and may be missing from the weights, and so may those that
    ``convolutions`` are given for: another caffemodel, and the :func:`arrays_digest` of its layers.
    Raises WeightsError when a file is missing, or the weights are those of another net.
    """
    import caffe

    for path in filter(None, (deploy, weights)):
        if not Path(path).is_file():
            raise WeightsError(f"{path}: no such file")
    read_net(deploy)  # Caffe itself aborts the process
    net = caffe.Net(str(deploy), caffe.TEST)
    if weights is not None:
        missing = [name for name in check_fits(net, weights) if name not in fixed]
        if missing and convolutions:
            _copy_convolutions(net, missing, *convolutions)
        elif missing:
            raise WeightsError(f"{weights}: no weights for the layers {', '.join(missing)}")
        net.copy_from(str(weights))
        check_finite(net, weights)
    return net


def _copy_convolutions(net, layers, path, expected):
    """Copy ``layers`` from the caffemodel ``path``; ``expected`` is the digest of their numbers."""
    remedy = "fetch it with: python tools/download.py vgg16-convolutions"
    if not path.is_file():
        raise WeightsError(f"{path}: no such file: the convolutions of the model; {remedy}")
    try:
        missing = set(check_fits(net, path)).intersection(layers)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete it and {remedy}") from error
    if missing:
        raise WeightsError(f"{path}: no weights for the layers {', '.join(sorted(missing))}")
    net.copy_from(str(path))
    found = arrays_digest(net, layers)
    if found != expected:
        raise WeightsError(
            f"{path}: other convolutions (sha256 {found[:8]}…) than those that the model was "
            f"trained on ({expected[:8]}…); delete it and {remedy}"
        )


def check_vocabulary(net, vocabulary, deploy: str | Path, source: str | Path | None = None) -> None:
    """Raise UserError when ``vocabulary`` has more words than the ``net``'s embedding has rows.

    ``deploy`` is the net's file and ``source`` the vocabulary's, where it is known.
    """
    if EMBEDDING not in net.params:
        raise UserError(f"{deploy}: a net without the layer {EMBEDDING} reads no expressions")
    rows = net.params[EMBEDDING][0].shape[0]
    if len(vocabulary) > rows:
        of = f"{source}:" if source else "a vocabulary of"
        raise UserError(
            f"{of} {len(vocabulary)} words for an embedding of {rows} rows: the vocabulary and "
            f"{deploy} do not belong together"
        )


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
