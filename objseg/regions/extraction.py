"""Making the features of a data set's boxes: in parallel, and only what is missing or outdated."""

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.data.images import ImageError
from objseg.files import Progress, atomic_path, sha256, write_text
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import whole_image
from objseg.regions.crop_trunk import CropTrunk
from objseg.regions.features import (
    VERSION,
    FeatureReader,
    FeaturesError,
    RegionFeatures,
    features_key,
)
from objseg.regions.index import ProposalIndex
from objseg.regions.proposals import candidates, read_boxes


class Job(NamedTuple):
    """An image of the data set, its candidate boxes (B, 4) and the key of their features.

    Boxes and key are None where the image has no proposal list.
    """

    image: Image
    boxes: np.ndarray | None
    key: str | None


class TrunkFiles(NamedTuple):
    """The arguments of :class:`objseg.regions.crop_trunk.CropTrunk`."""

    deploy: Path
    weights: Path
    gpu: int | None = None


def extract(
    dataset: Dataset, images: list[Image], proposals: Path, files: TrunkFiles, out: Path,
    workers: int = 1,
) -> dict:
    """Make the features of ``images`` that are missing or out of date, then the index.

    ``images`` have regions, ``proposals`` is the folder of boxes/, ``out`` that of the features.
    The index lists every image of the data set whose features are up to date, and those that an
    earlier run could not read. Returns {"made", "kept", "whole_image"}, numbers of images, of which
    the last have no proposed box, and "unreadable", {image id: message}.

    Raises FeaturesError when an image has no proposal list.
    """
    boxes = proposals / "boxes"
    if not boxes.is_dir():
        raise FeaturesError(
            f"{boxes} does not exist: the proposed boxes; make them with: "
            f"python tools/make_proposals.py --kind boxes --data {dataset.directory}"
        )
    trunk = {"weights": sha256(files.weights), "deploy": sha256(files.deploy)}
    ProposalIndex(boxes).check(images)
    jobs = {
        image.id: _job(image, boxes, trunk) for image in dataset.all_images() if image.regions
    }
    keys = {
        name: job.key for name, job in jobs.items()
        if job.key and saved_key(out / f"{name}.h5") == job.key
    }
    asked = [jobs[image.id] for image in images]
    todo = [job for job in asked if job.image.id not in keys]
    kept = len(asked) - len(todo)
    unreadable = _make(Extractor(dataset, todo, boxes, files, out), workers, kept)
    keys.update({job.image.id: job.key for job in todo if job.image.id not in unreadable})
    if not keys:
        raise FeaturesError(f"{dataset.directory}: no image to make features of")
    before = _unreadable_before(out, jobs.keys() - keys.keys())
    widths = _widths(out / f"{next(iter(keys))}.h5")
    write_index(out, dataset, keys, {**before, **unreadable}, *widths, trunk)
    return {
        "made": len(todo) - len(unreadable),
        "kept": kept,
        "whole_image": sum(_is_whole_image(job) for job in asked),
        "unreadable": unreadable,
    }


def _make(extractor, workers, kept):
    """Run the jobs of ``extractor``; returns {id: message} of the images that are unreadable."""
    jobs, unreadable = extractor.jobs, {}
    with Progress(kept + len(jobs), "features", "image", initial=kept) as progress, \
            contextlib.closing(Prefetcher(extractor, workers, count=len(jobs))) as results:
        for job, problem in zip(jobs, results):
            if problem:
                unreadable[job.image.id] = problem
                progress.write(f"skipped: {problem}")
            progress.advance()
    return unreadable


def _unreadable_before(out, ids):
    """Return {id: message} of those of ``ids`` that the index in ``out`` calls unreadable."""
    try:
        before = FeatureReader(out).unreadable
    except FeaturesError:
        return {}
    return {name: problem for name, problem in before.items() if name in ids}


def _job(image, boxes, trunk):
    path = boxes / f"{image.id}.txt"
    if not path.is_file():
        return Job(image, None, None)
    chosen = candidates(read_boxes(path), image.width, image.height)
    return Job(image, chosen, features_key(trunk, chosen, image))


def _is_whole_image(job):
    whole = whole_image(job.image.width, job.image.height)
    return job.boxes is not None and np.array_equal(job.boxes, whole[None])


def _widths(path):
    with h5py.File(path, "r") as file:
        return [file[name].shape[1] for name in ("fc7", "fc8")]


class Extractor:
    """Makes the features of job number n; a background process loads the net when it needs it."""

    def __init__(self, dataset, jobs, boxes, files, out):
        self.dataset, self.jobs, self.boxes, self.out = dataset, jobs, boxes, out
        self.files, self.trunk = files, None

    def __call__(self, number):
        """Write the file of job ``number``; returns None, or why the image cannot be read."""
        image, boxes, key = self.jobs[number]
        try:
            pixels, _ = self.dataset.pixels_and_masks(image)
        except ImageError as error:
            return str(error)
        if boxes is None:
            raise FeaturesError(
                f"{self.boxes / image.id}.txt does not exist: the proposed boxes; make them with: "
                f"python tools/make_proposals.py --kind boxes --data {self.dataset.directory}"
            )
        self.trunk = self.trunk or CropTrunk(*self.files)
        features = self.trunk(pixels, boxes)
        ids, truth = [region.id for region in image.regions], [r.box for r in image.regions]
        _, region_fc8 = self.trunk.features(pixels, np.array(truth))
        save_features(self.out / f"{image.id}.h5", features, ids, region_fc8, key)
        return None


def save_features(
    path: Path, features: RegionFeatures, region_ids: list[str], region_fc8: np.ndarray, key: str
) -> None:
    """Write an image's features, and fc8 (R, D_fc8) of its annotated regions' boxes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in features._asdict().items():
            file[name] = value
        file["regions"] = np.array(region_ids, "S")
        file["region_fc8"] = region_fc8
        file.attrs["key"] = key


def write_index(folder, dataset, keys, unreadable, fc7, fc8, trunk):
    """Write the index of the features in ``folder`` (Path) of images of ``dataset``.

    The other arguments are what :class:`objseg.regions.features.FeatureReader` reads, and ``trunk``
    that of :func:`objseg.regions.features.features_key`.
    """
    write_text(folder / "index.json", json.dumps({
        "version": VERSION, "trunk": trunk, "fc7": fc7, "fc8": fc8, "keys": keys,
        "unreadable": unreadable, "data set": dataset.identity,
    }))


def saved_key(path: Path) -> str | None:
    """Return the key of a file of features; None where it is missing or broken."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["key"]
    except (OSError, KeyError):
        return None
