"""Weight files: a caffemodel without its net, and nets with the weights of files."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from objseg.caffe.names import EMBEDDING
from objseg.errors import UserError


class WeightsError(UserError):
    """A weight file that cannot be used; the message names it, and what was found and expected."""


def _read_layers(path):
    """Layers with blobs of a caffemodel, as {name: [BlobProto]}."""
    from google.protobuf.message import DecodeError

    from objseg.caffe.messages import NetParameter

    message = NetParameter()
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
    for name, blobs in layers.items():
        for blob in blobs:
            numbers, shape = len(blob.data or blob.double_data), _shape(blob)
            if numbers != int(np.prod(shape)):
                raise WeightsError(
                    f"{path}: layer {name} holds {numbers} numbers for a blob of shape {shape}; "
                    "the file is damaged: copy or train it again"
                )
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
        name: [
            np.array(blob.data or blob.double_data, np.float32).reshape(_shape(blob))
            for blob in blobs
        ]
        for name, blobs in _read_layers(path).items()
    }


def write_caffemodel(path: str | Path, weights: dict[str, list[np.ndarray]]) -> None:
    """Write ``weights`` {layer name: [float32 arrays]}, as :func:`read_caffemodel` returns them."""
    from objseg.caffe.messages import NetParameter

    net = NetParameter()
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
        # Files older than BlobShape pad a bias to four axes, which Caffe accepts.
        if [_trimmed(shape) for shape in expected] != [_trimmed(shape) for shape in found]:
            raise WeightsError(
                f"{path}: layer {name} has blobs {found}, the net expects {expected}; "
                "the file belongs to a net of another size"
            )
    return [name for name in net.params if name not in given]


def arrays_digest(params, layers: Iterable[str]) -> str:
    """Return one sha256 of the weights of some ``layers``.

    ``params`` are {layer: weights}, a net's blobs or arrays.
    """
    found = hashlib.sha256()
    for layer in sorted(layers):
        for blob in params[layer]:
            found.update(f"{layer} {tuple(blob.shape)}".encode())
            found.update(blob.data.tobytes())
    return found.hexdigest()


def layer_not_finite(params) -> str | None:
    """Return the first layer of ``params``, {layer: weights}, with a NaN or Inf, or None."""
    for name, blobs in params.items():
        if not all(np.isfinite(blob.data).all() for blob in blobs):
            return name
    return None


def check_finite(params, path: str | Path) -> None:
    """Raise WeightsError when a weight of ``params``, from the file ``path``, is NaN or Inf."""
    name = layer_not_finite(params)
    if name is not None:
        raise WeightsError(
            f"{path}: a weight of the layer {name} is not finite: its training diverged; take an "
            "earlier snapshot, or train again at a lower learning rate"
        )


def read_net(path: str | Path):
    """Read a net's prototxt; returns a NetParameter. Raises WeightsError where it is none."""
    from google.protobuf import text_format

    from objseg.caffe.messages import NetParameter

    try:
        net = text_format.Parse(Path(path).read_text(encoding="utf-8"), NetParameter())
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
        check_finite(net.params, weights)
    return net


def _copy_convolutions(net, layers, path, expected):
    """Copy ``layers`` from the caffemodel ``path``; ``expected`` is the digest of their numbers."""
    with _remedy():
        missing = set(check_fits(net, path)).intersection(layers)
        if missing:
            raise WeightsError(f"{path}: no weights for the layers {', '.join(sorted(missing))}")
        net.copy_from(str(path))
        _check_convolutions(net.params, layers, path, expected)


@contextlib.contextmanager
def _remedy():
    """Say in a WeightsError about a file of convolutions what to do."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(
            f"{error}; delete it: the next use fetches VGG-16's convolutions again"
        ) from error


def _check_convolutions(params, layers, path, expected):
    found = arrays_digest(params, layers)
    if found != expected:
        raise WeightsError(
            f"{path}: other convolutions (sha256 {found[:8]}…) than those that the model was "
            f"trained on ({expected[:8]}…)"
        )


def read_weights(
    weights: str | Path, convolutions: tuple[Path, str] | None = None
) -> dict[str, list[np.ndarray]]:
    """Read the weights of a whole net, {layer name: [float32 arrays]}, without Caffe.

    ``convolutions`` are those that ``weights`` lacks, as for :func:`load_net`. Raises WeightsError
    where a file is missing or damaged, or they are others than the model was trained on.
    """
    found = read_caffemodel(weights)
    check_finite(found, weights)
    if convolutions:
        path, expected = convolutions
        with _remedy():
            held = {name: w for name, w in read_caffemodel(path).items() if name not in found}
            _check_convolutions(held, held, path, expected)
        found |= held
    return found


def check_vocabulary(
    params, vocabulary, deploy: str | Path, source: str | Path | None = None
) -> None:
    """Raise UserError when ``vocabulary`` has more words than the net's embedding has rows.

    ``params`` are the net's {layer: weights}, ``deploy`` is its file and ``source`` the
    vocabulary's, where it is known.
    """
    if EMBEDDING not in params:
        raise UserError(f"{deploy}: a net without the layer {EMBEDDING} reads no expressions")
    rows = params[EMBEDDING][0].shape[0]
    if len(vocabulary) > rows:
        of = f"{source}:" if source else "a vocabulary of"
        raise UserError(
            f"{of} {len(vocabulary)} words for an embedding of {rows} rows: the vocabulary and "
            f"{deploy} do not belong together"
        )
