"""Features of boxes by the pretrained trunk, which SCRC and GroundeR hold fixed (section 4.1).

A box's crop of the image, resized to the trunk's square input, gives fc7 and fc8; the whole image,
resized alike, gives the context. They are kept in HDF5, a file an image, beside an index.
"""

import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.errors import UserError
from objseg.files import digest

VERSION = 2
"""Part of every key; raise it when a change of the code changes the features."""


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


def features_key(trunk, boxes: np.ndarray, image: Image) -> str:
    """Return a checksum of all that the features of ``image`` depend on.

    That is ``trunk``, any JSON value that tells trunks apart, the candidate ``boxes`` (B, 4), the
    picture, and the boxes of its annotated regions.
    """
    regions = [[region.id, region.box] for region in image.regions]
    parts = [VERSION, trunk, boxes.tolist(), image.sha256, regions]
    return digest(parts)


class FeatureReader:
    """Features that tools/extract_features.py has made in ``folder``.

    ``keys`` is {image id: :func:`features_key`}, ``fc7`` and ``fc8`` are the widths of the
    features. Raises UserError when features are missing, broken or other than those that the
    index lists.
    """

    def __init__(self, folder: str | Path):
        self.folder, index = Path(folder), None
        path, problem = self.folder / "index.json", ": of another version"
        try:
            index = json.loads(path.read_bytes())
        except FileNotFoundError:
            problem = " does not exist"
        except ValueError as error:  # of JSON or UTF-8
            problem = f": not a readable index ({error})"
        if not isinstance(index, dict) or index.get("version") != VERSION:
            raise UserError(f"{path}{problem}; {self._remedy}")
        self.keys, self.fc7, self.fc8 = index["keys"], index["fc7"], index["fc8"]
        self._data_set = index["data set"]

    @property
    def _remedy(self):
        size, data = "SIZE", "DATA"
        if self.folder.parent.name == "features":  # DATA/features/SIZE
            size, data = self.folder.name, self.folder.parents[1]
        return (
            f"make the features with: python tools/extract_features.py --size {size} --data {data} "
            f"--out {self.folder}"
        )

    def __call__(self, image_id: str) -> RegionFeatures:
        """Return the RegionFeatures of an image."""
        boxes, fc7, fc8, context, width, height = self.read(image_id, *RegionFeatures._fields)
        return RegionFeatures(boxes, fc7, fc8, context, int(width), int(height))

    def check(self, dataset: Dataset) -> None:
        """Raise UserError when the data set has changed since the features were made."""
        if self._data_set != dataset.identity:
            raise UserError(
                f"{self.folder}: made before the data set {dataset.directory} changed; "
                f"{self._remedy}"
            )

    def require(self, image_id: str) -> None:
        """Raise UserError when the index lists no features of an image."""
        if image_id not in self.keys:
            raise UserError(f"{self.folder}: no features of image {image_id}; {self._remedy}")

    def read(self, image_id: str, *names: str) -> list[np.ndarray]:
        """Read the arrays ``names`` of an image.

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
            raise UserError(
                f"{path}: missing or broken ({error}); delete it if it is there, and "
                f"{self._remedy}"
            ) from error
        raise UserError(f"{path}: not the features that index.json lists; {self._remedy}")
