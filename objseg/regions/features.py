"""Features of boxes by the pretrained trunk, which SCRC and GroundeR hold fixed (section 4.1).

A box's crop of the image, resized to the trunk's square input, gives fc7 and fc8; the whole image,
resized alike, gives the context. They are kept in HDF5, a file an image, beside an index.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from objseg.errors import UserError
from objseg.files import atomic_path, sha256, write_text
from objseg.geometry import MEAN_BGR
from objseg.regions.boxes import whole_image
from objseg.regions.crops import crop
from objseg.regions.edge_boxes import default_forest, edge_boxes, structured_forest
from objseg.regions.proposals import candidates

VERSION = 1
"""Part of every key; raise it when a change of the code changes the features."""

CROPS_AT_ONCE = 16
"""Crops in a pass; bounds the memory (1 GiB at 224x224), and more at once is no faster."""


class FeaturesError(UserError):
    """Features that are missing or out of date; says which file and what to run."""


class RegionFeatures(NamedTuple):
    """The candidate boxes of an image and their features.

    ``boxes`` int64 (B, 4), from :func:`objseg.regions.proposals.candidates`; ``fc7`` (B, D_fc7),
    after its ReLU, and ``fc8`` (B, D_fc8), ``context`` (D_fc7,), fc7 of the whole image; ``width``
    and ``height`` of the image in pixels. Features are float16: a file is half as large (ReferIt's
    take 20 GB), and a thousandth of a feature moves no choice that means anything.
    """

    boxes: np.ndarray
    fc7: np.ndarray
    fc8: np.ndarray
    context: np.ndarray
    width: int
    height: int


class CropTrunk:
    """The frozen trunk: ``deploy`` is deploy_crops.prototxt, ``weights`` the pretrained weights.

    ``gpu`` is a device number or None. Raises WeightsError when the two do not belong together.
    """

    def __init__(self, deploy, weights, gpu=None):
        # Reading features needs no Caffe, and the data layers' workers only read.
        from objseg.caffe.devices import use_device
        from objseg.caffe.weights import load_net

        use_device(gpu)
        self.source = f"{deploy} with the weights {weights}"
        self.net = load_net(deploy, weights)
        self.side = self.net.blobs["image"].shape[2]

    def features(self, image, boxes):
        """Return fc7 (B, D_fc7) and fc8 (B, D_fc8), float16, of ``boxes`` (B, 4) of ``image``.

        ``image`` is BGR uint8 (H, W, 3). Raises FeaturesError when float16 cannot hold them.
        """
        parts = [
            self._forward([crop(image, box, self.side) for box in boxes[first:][:CROPS_AT_ONCE]])
            for first in range(0, len(boxes), CROPS_AT_ONCE)
        ]
        with np.errstate(over="ignore"):
            fc7, fc8 = (np.concatenate(rows).astype(np.float16) for rows in zip(*parts))
        if not (np.isfinite(fc7).all() and np.isfinite(fc8).all()):
            raise FeaturesError(
                f"{self.source}: a feature beyond 65504 or not a number; these are no weights of a "
                "trained trunk"
            )
        return fc7, fc8

    def __call__(self, image, boxes):
        """Return the RegionFeatures of candidate ``boxes`` (B, 4) of ``image``."""
        height, width = image.shape[:2]
        fc7, fc8 = self.features(image, np.vstack([boxes, whole_image(width, height)]))
        return RegionFeatures(boxes, fc7[:-1], fc8[:-1], fc7[-1], width, height)

    def _forward(self, crops):
        blobs = self.net.blobs
        if blobs["image"].shape[0] != len(crops):
            blobs["image"].reshape(len(crops), *blobs["image"].shape[1:])
            self.net.reshape()
        blobs["image"].data[...] = (np.stack(crops) - MEAN_BGR).transpose(0, 3, 1, 2)
        self.net.forward()
        outputs = [blobs[name].data for name in ("fc7_features", "fc8_features")]
        return [output.reshape(len(crops), -1).copy() for output in outputs]


def features_key(trunk, boxes, regions):
    """A name (str) for all that an image's features depend on, but for the image itself.

    ``trunk`` is any JSON value that tells trunks apart, ``boxes`` (B, 4) the candidates and
    ``regions`` the annotated :class:`objseg.data.dataset.Region`.
    """
    parts = [VERSION, trunk, boxes.tolist(), [[region.id, region.box] for region in regions]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save_features(path, features, region_ids, region_fc8, key):
    """Write the RegionFeatures of an image, and fc8 (R, D_fc8) of its annotated regions' boxes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in features._asdict().items():
            file[name] = value
        file["regions"] = np.array(region_ids, "S")
        file["region_fc8"] = region_fc8
        file.attrs["key"] = key


def write_index(folder, data, keys, unreadable, fc7, fc8, trunk):
    """Write the index of the features in ``folder`` of images of the data set in ``data`` (Paths).

    The other arguments are what :class:`FeatureReader` reads, and ``trunk`` that of
    :func:`features_key`.
    """
    write_text(folder / "index.json", json.dumps({
        "version": VERSION, "trunk": trunk, "fc7": fc7, "fc8": fc8, "keys": keys,
        "unreadable": unreadable, "data set": sha256(data / "index.json"),
    }))


def saved_key(path):
    """The key of a file of features, or None where it is missing or broken."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["key"]
    except (OSError, KeyError):
        return None


class FeatureReader:
    """Features that tools/extract_features.py has made in ``folder``.

    ``unreadable`` is {image id: message} of the images that have none for their own fault,
    ``keys`` {image id: :func:`features_key`} of the others, ``fc7`` and ``fc8`` are the widths of
    the features. Raises FeaturesError when features are missing, broken or other than those that
    the index lists.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        path = self.folder / "index.json"
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FeaturesError(f"{path} does not exist; {self._remedy}") from None
        except (OSError, ValueError) as error:
            raise FeaturesError(
                f"{path}: not a readable index ({error}); {self._remedy}"
            ) from error
        if not isinstance(index, dict) or index.get("version") != VERSION:
            raise FeaturesError(f"{path}: of another version; {self._remedy}")
        self.unreadable, self.fc7, self.fc8 = index["unreadable"], index["fc7"], index["fc8"]
        self.keys, self._data_set = index["keys"], index.get("data set")

    @property
    def _remedy(self):
        return (
            "make the features with: python tools/extract_features.py --size SIZE --data DATA "
            f"--out {self.folder}"
        )

    def __call__(self, image_id):
        """Return the RegionFeatures of the image ``image_id`` (str)."""
        boxes, fc7, fc8, context, width, height = self.read(image_id, *RegionFeatures._fields)
        return RegionFeatures(boxes, fc7, fc8, context, int(width), int(height))

    def check(self, data):
        """Raise FeaturesError when the data set in ``data`` (Path) has been prepared anew since."""
        if self._data_set != sha256(data / "index.json"):
            raise FeaturesError(
                f"{self.folder}: made before {data / 'index.json'} was written anew; {self._remedy}"
            )

    def require(self, image_id):
        """Raise FeaturesError when the index lists no features of an image."""
        if image_id not in self.keys:
            why = self.unreadable.get(image_id, "it was not among the images asked for")
            raise FeaturesError(
                f"{self.folder}: no features of image {image_id} ({why}); {self._remedy}"
            )

    def read(self, image_id, *names):
        """Read a list of the arrays ``names`` of an image.

        They are the fields of RegionFeatures, "regions" (R,), ids of the annotated regions as
        bytes, and "region_fc8" (R, D_fc8) of their boxes.
        """
        self.require(image_id)
        path = self.folder / f"{image_id}.h5"
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["key"] == self.keys[image_id]:
                    return [file[name][()] for name in names]
        except (OSError, KeyError) as error:
            raise FeaturesError(
                f"{path}: missing or broken ({error}); delete it if it is there, and "
                f"{self._remedy}"
            ) from error
        raise FeaturesError(f"{path}: not the features that index.json lists; {self._remedy}")


def region_source(configuration):
    """Where a method's :class:`objseg.methods.table1.Configuration` says that features come from.

    Returns a function of a BGR image (H, W, 3) and its id in the data set, to its RegionFeatures.
    Without a folder of features proposals and features are computed.
    """
    if configuration.features is not None:
        reader = FeatureReader(configuration.features)
        return lambda image, image_id: reader(image_id)

    trunk = CropTrunk(configuration.crops, configuration.trunk, configuration.gpu)
    path = default_forest()
    forest = structured_forest(path) if path else None

    def compute(image, image_id):
        boxes = edge_boxes(image, model=forest)
        return trunk(image, candidates(boxes, image.shape[1], image.shape[0]))

    return compute
