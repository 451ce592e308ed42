"""Making the features of a data set's boxes: in parallel, and only what is missing or outdated."""

import contextlib
import json
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import Progress, sha256, write_text
from objseg.hdf5 import atomic_hdf5
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.crop_trunk import CropTrunk
from objseg.regions.features import VERSION, RegionFeatures, features_key
from objseg.regions.index import ProposalIndex
from objseg.regions.proposals import candidates, read_boxes


def extract(
    dataset: Dataset, proposals: Path, deploy: Path, weights: Path, out: Path,
    gpu: int | None = None, workers: int = 1,
) -> tuple[int, int]:
    """Make the features of a data set's images that are missing or out of date, then the index.

    ``proposals`` is the folder of boxes/, ``out`` that of the features; ``deploy``, ``weights`` and
    ``gpu`` are those of a :class:`objseg.regions.crop_trunk.CropTrunk`. Returns how many images'
    features were made and how many kept.

    Raises UserError when an image that has regions has no proposal list.
    """
    images = [image for image in dataset.all_images() if image.regions]
    if not images:
        raise UserError(f"{dataset.directory}: no image has a region to make features of")
    lists = {image.id: proposals / "boxes" / f"{image.id}.txt" for image in images}
    missing = [path for path in lists.values() if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]} does not exist: {len(missing)} of {len(images)} images lack proposed "
            "boxes; make them with: "
            f"python tools/make_proposals.py --kind boxes --data {dataset.directory}"
        )
    ProposalIndex(proposals / "boxes").check(images)
    files, boxes, keys = {"weights": sha256(weights), "deploy": sha256(deploy)}, {}, {}
    for image in images:
        boxes[image.id] = candidates(read_boxes(lists[image.id]), image.width, image.height)
        keys[image.id] = features_key(files, boxes[image.id], image)
    todo = [image for image in images if saved_key(out / f"{image.id}.h5") != keys[image.id]]
    open_trunk = cache(lambda: CropTrunk(deploy, weights, gpu))  # one per worker, when it needs it

    def make(number):
        image, trunk = todo[number], open_trunk()
        pixels, _ = dataset.pixels_and_masks(image)
        features = trunk(pixels, boxes[image.id])
        _, region_fc8 = trunk.features(pixels, np.array([region.box for region in image.regions]))
        ids = [region.id for region in image.regions]
        save_features(out / f"{image.id}.h5", features, ids, region_fc8, keys[image.id])

    kept = len(images) - len(todo)
    with Progress(len(images), "features", "image", initial=kept) as progress, \
            contextlib.closing(Prefetcher(make, workers, count=len(todo))) as results:
        for _ in results:
            progress.advance()
    with h5py.File(out / f"{images[0].id}.h5", "r") as file:
        widths = [file[name].shape[1] for name in ("fc7", "fc8")]
    write_index(out, dataset, keys, *widths, files)
    return len(todo), kept


def save_features(
    path: Path, features: RegionFeatures, region_ids: list[str], region_fc8: np.ndarray, key: str
) -> None:
    """Write an image's features, and fc8 (R, D_fc8) of its annotated regions' boxes."""
    with atomic_hdf5(path) as file:
        for name, value in features._asdict().items():
            file[name] = value
        file["regions"] = np.array(region_ids, "S")
        file["region_fc8"] = region_fc8
        file.attrs["key"] = key


def write_index(folder, dataset, keys, fc7, fc8, trunk):
    """Write the index of the features in ``folder`` (Path) of images of ``dataset``.

    The other arguments are what :class:`objseg.regions.features.FeatureReader` reads, and ``trunk``
    that of :func:`objseg.regions.features.features_key`.
    """
    write_text(folder / "index.json", json.dumps({
        "version": VERSION, "trunk": trunk, "fc7": fc7, "fc8": fc8, "keys": keys,
        "data set": dataset.identity,
    }))


def saved_key(path: Path) -> str | None:
    """Return the key of a file of features; None where it is missing or broken."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["key"]
    except (OSError, KeyError):
        return None
