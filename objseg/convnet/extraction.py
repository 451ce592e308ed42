"""Computing the maps of a data set's pictures: in parallel, and only what is missing or stale."""

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.weights import arrays_digest, load_net
from objseg.convnet.reader import MIRRORED, PLAIN, VERSION, ConvnetError, maps_key
from objseg.data.dataset import Dataset, Image
from objseg.files import REPOSITORY, Progress, digest, write_text
from objseg.geometry import net_input, resize_and_pad
from objseg.hdf5 import atomic_hdf5
from objseg.parallel.prefetch import Prefetcher

TYPES = {"float16": np.float16, "float32": np.float32}


class Convnet(NamedTuple):
    """The convolutions: a file of the net (image in, maps out), of its weights, and a GPU or None.

    ``type`` is that of the numbers on disk, a key of TYPES.
    """

    deploy: Path
    weights: Path
    gpu: int | None = None
    type: str = "float16"

    def open(self):
        """Return the caffe.Net."""
        use_device(self.gpu)
        return load_net(self.deploy, self.weights)


def extract(
    dataset: Dataset, images: list[Image], mirrored: Collection[str], convnet: Convnet, out: Path,
    workers: int = 1,
) -> tuple[int, int]:
    """Compute the maps of ``images`` that the folder ``out`` lacks, and its index.

    ``mirrored`` are the ids of images whose mirror image is computed as well. A file of an earlier
    run is kept if it is of the same picture, weights and type. Returns the numbers of pictures that
    were computed and kept.
    """
    net = convnet.open()
    (output,) = net.outputs
    shape, weights = list(net.blobs[output].shape)[1:], arrays_digest(net.params, net.params)
    made_by = digest([VERSION, weights, convnet.deploy.read_text(encoding="utf-8"), convnet.type])
    del net  # the workers load their own
    todo = [image for image in images
            if not _is_current(out / f"{image.id}.h5", maps_key(made_by, image),
                               image.id in mirrored)]
    kept = len(images) - len(todo)
    extractor = Extractor(dataset, todo, mirrored, convnet, out, made_by)
    with Progress(len(images), "convolutions", "picture", initial=kept) as progress, \
            contextlib.closing(Prefetcher(extractor, workers, count=len(todo))) as results:
        for _ in results:
            progress.advance()
    write_text(out / "index.json", json.dumps({
        "version": VERSION, "source": {"file": _portable(convnet.weights), "sha256": weights},
        "made by": made_by, "shape": shape,
    }))
    return len(todo), kept


def _portable(path):
    """Write a path relative to the repository, where it is below it."""
    path = path.resolve()
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


def _is_current(path, key, mirrored):
    """Whether ``path`` holds the maps of a ``key``, with those of the mirror image if asked for."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["key"] == key and (MIRRORED in file or not mirrored)
    except (OSError, KeyError):
        return False


class Extractor:
    """Writes the maps of image number n; a background process loads the net when it needs it."""

    def __init__(self, dataset, images, mirrored, convnet, out, made_by):
        self.dataset, self.images, self.mirrored = dataset, images, mirrored
        self.convnet, self.out, self.made_by = convnet, out, made_by
        self.net = None

    def __call__(self, number):
        """Write the file of an image."""
        image = self.images[number]
        pixels = self.dataset.pixels(image)
        self.net = self.net or self.convnet.open()
        square = net_input(resize_and_pad(pixels, self.net.blobs["image"].shape[2]))
        maps = {PLAIN: self._forward(square)}
        if image.id in self.mirrored:
            maps[MIRRORED] = self._forward(square[:, :, ::-1])
        save_maps(self.out / f"{image.id}.h5", maps, maps_key(self.made_by, image))

    def _forward(self, square):
        """Return the maps (C, h, w) of a net input (3, S, S), or raise ConvnetError."""
        self.net.blobs["image"].data[0] = square
        (maps,) = self.net.forward().values()
        with np.errstate(over="ignore"):
            found = maps[0].astype(TYPES[self.convnet.type])
        if not np.isfinite(found).all():
            raise ConvnetError(
                f"{self.convnet.weights}: a value beyond what {self.convnet.type} can hold, or not "
                "a number; with --type float32 the first are kept"
            )
        return found


def save_maps(path: Path, maps: Mapping[str, np.ndarray], key: str) -> None:
    """Write maps by name, and their key, to an HDF5 file."""
    with atomic_hdf5(path) as file:
        for name, values in maps.items():
            # half of a ReLU's outputs are 0
            file.create_dataset(name, data=values, compression="lzf", shuffle=True)
        file.attrs["key"] = key
