"""Tell whether two training runs are the same run: data set, start, size, net and solver."""

import hashlib
import json

from caffe.proto import caffe_pb2
from google.protobuf import json_format, text_format

from objseg.caffe.blas import cpu_kernels
from objseg.caffe.names import DATA
from objseg.convnet.reader import ConvnetReader
from objseg.data.dataset import Dataset
from objseg.files import digest, sha256
from objseg.regions.features import FeatureReader
from objseg.regions.segments import SegmentReader

PLACES = {"data", "features", "proposals", "convnet", "workers"}
"""Parameters of a data layer that a run may change: where files are, and how many read them."""

WITHOUT_EFFECT = {
    "net", "weights", "snapshot_prefix", "snapshot", "display", "average_loss", "solver_mode",
    "device_id", "test_iter", "test_interval", "test_initialization",
}
"""Solver values that the weights do not depend on, once there is a snapshot to go on from."""


STOCK = {"CAFFE_STOCK_CPU": "1"}
"""The arithmetic of snapshots whose fingerprint names none: taken before there was another."""


def fingerprint(dataset: Dataset, size: str, net, solver: str) -> dict:
    """Describe a training run by what its weights depend on; a dict of JSON values.

    ``size`` is a size's name, ``net`` the train net's NetParameter, whose first layer is the data
    layer of training, and ``solver`` the text of the solver file, whose starting weights count by
    their content. Paths, the number of workers and the test phase are left out.
    """
    parameters = text_format.Parse(solver, caffe_pb2.SolverParameter())
    values = json_format.MessageToDict(parameters, preserving_proto_field_name=True)
    batches = json.loads(net.layer[0].python_param.param_str)
    return {
        "size": {"name": size},
        "data set": {"identity": dataset.identity[:16]},
        "batches": {k: v for k, v in batches.items() if k not in PLACES},
        "regions": _regions(batches, dataset),
        "start": {"weights": [sha256(path)[:16] for path in parameters.weights]},
        "solver": {k: v for k, v in values.items() if k not in WITHOUT_EFFECT},
        # also of a run on a GPU, which may be continued on the CPU
        "arithmetic": STOCK if cpu_kernels() == "stock" else {"CAFFE_STOCK_CPU": "0"},
        "net": {layer.name: _digest(layer) for layer in net.layer if layer.name != DATA},
    }


def _regions(batches, dataset):
    """Return a checksum of the features, segments or maps that a data layer reads, by kind.

    Those of images that are not trained on do not count; a missing file is reported elsewhere.
    """
    ids = [image.id for image in dataset.images(batches["split"])]
    found = {}
    if "features" in batches:
        keys = FeatureReader(batches["features"]).keys
        found["features"] = [keys.get(name) for name in ids]
    if "proposals" in batches:
        found["segments"] = SegmentReader(batches["proposals"]).digests(ids)
    if "convnet" in batches:
        found["convnet"] = ConvnetReader(batches["convnet"], dataset).made_by
    return {kind: digest(parts)[:16] for kind, parts in found.items()}


def _digest(layer):
    return hashlib.sha256(layer.SerializeToString(deterministic=True)).hexdigest()[:16]


def differences(earlier: dict, now: dict, most: int = 6) -> str:
    """Say in words how the fingerprint ``earlier`` differs from ``now``; "" if it does not.

    At most the first ``most`` differences are listed.
    """
    found, earlier = [], {"arithmetic": STOCK, **earlier}
    for part in now:
        one, other = earlier.get(part, {}), now[part]
        found += [f"{part}: {key} was {one.get(key)}, is {other.get(key)}"
                  for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    more = [f"and {len(found) - most} more"] if len(found) > most else []
    return "; ".join(found[:most] + more)
