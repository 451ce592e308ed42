"""The prepared data set: images, regions, expressions, splits and masks, as tools read them."""

import contextlib
import gc
import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.data.images import ChangedImageError, ImageError, read_image
from objseg.data.masks import MaskError, load_masks
from objseg.errors import UserError
from objseg.files import sha256

VERSION = 2
SPLITS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val"), "test": ("test",)}
"""The splits that can be asked for, and the splits in the index that make each of them."""


class DatasetError(UserError):
    """A prepared data set that is missing or broken; says which file and what to run."""


class Region(NamedTuple):
    """A region: its id, box (xmin, ymin, xmax, ymax) in inclusive pixels, expressions (str)."""

    id: str
    box: tuple
    expressions: tuple


class Image(NamedTuple):
    """An image: its id, path (None without images), size in pixels, regions, and checksums.

    ``sha256`` is that of its file, ``masks_digest`` that of its masks
    (:func:`objseg.data.masks.masks_digest`); None where a data set does not tell them.
    """

    id: str
    path: Path | None
    width: int
    height: int
    regions: tuple
    sha256: str | None = None
    masks_digest: str | None = None


class About(NamedTuple):
    """Facts about a data set that every report of it tells; None where nobody has said.

    ``images`` are "drawn" or "photographs", ``expressions`` those of "people" or of a "program",
    ``referit`` whether it is the ReferIt of the paper.
    """

    images: str | None = None
    expressions: str | None = None
    referit: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """List what stands beside every figure of this data set."""
        notes = []
        if self.images == "drawn":
            notes.append("synthetic images")
        if self.expressions == "program":
            notes.append("expressions made by a program")
        return tuple(notes)


class Sample(NamedTuple):
    """An expression (str) for a region of an image: a model is trained and scored on these."""

    image: Image
    region: Region
    expression: str

    def __str__(self):
        return f"image {self.image.id}, region {self.region.id}: {self.expression}"


@contextlib.contextmanager
def _no_garbage_collection():
    """Keep the collector from walking 100,000 new objects over and over, most of a load's time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Dataset:
    """A data set prepared by ``tools/prepare_referit.py``.

    ``directory`` holds index.json, vocabulary.txt and masks/<image id>.npz. ``name`` is the name of
    that folder, ``vocabulary`` a Vocabulary, ``image_dir`` the folder of the images or None when
    the set holds annotations only, ``summary`` the counts of the preparation (see
    ``objseg.data.prepare``), and ``skipped`` its list of what was left out and why. ``about`` is
    an About, ``identity`` a checksum (str) of everything that a result depends on: the index, which
    holds checksums of all pictures and masks, and the vocabulary.

    Raises DatasetError when the set is missing or broken.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        self.name = self.directory.resolve().name
        path = self.directory / "index.json"
        with _no_garbage_collection():
            self._load(path)

    def _load(self, path):
        try:
            content = path.read_bytes()
            index = json.loads(content)
        except FileNotFoundError:
            raise DatasetError(
                f"{path} does not exist; make it with: {self._command}"
            ) from None
        except (OSError, ValueError) as error:  # of JSON or UTF-8
            raise DatasetError(
                f"{path}: not a readable index ({error}); make it again with: {self._command}"
            ) from error
        if not isinstance(index, dict) or index.get("version") != VERSION:
            found = index.get("version") if isinstance(index, dict) else type(index).__name__
            raise DatasetError(
                f"{path}: version {found}, expected {VERSION}; make it again with: {self._command}"
            )
        try:
            # A relative folder is meant from the data set, so that a checkout can be moved.
            self.image_dir = index["image_dir"] and (self.directory / index["image_dir"]).resolve()
            self.summary, self.skipped = index["summary"], index["skipped"]
            self.about = About(**index.get("about", {}))
            self._images = self._build(index)
            self.identity = self._identity(content)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{path}: incomplete ({type(error).__name__}: {error}); make it again with: "
                f"{self._command}"
            ) from error

    def _identity(self, index):
        """Return a checksum of the bytes of index.json and of the vocabulary's."""
        vocabulary = self.directory / "vocabulary.txt"
        words = sha256(vocabulary) if vocabulary.is_file() else ""
        return hashlib.sha256(index + words.encode()).hexdigest()

    @property
    def _command(self):
        return f"python tools/prepare_referit.py --raw RAW_FOLDER --out {self.directory}"

    def _build(self, index):
        regions = {image: [] for image in index["images"]}
        for region, entry in index["regions"].items():
            regions[entry["image"]].append(
                Region(region, tuple(entry["box"]), tuple(entry["expressions"]))
            )
        images = {"train": [], "val": [], "test": []}
        for image, entry in index["images"].items():
            path = self.image_dir and self.image_dir / entry["file"]
            images[entry["split"]].append(
                Image(image, path, entry["width"], entry["height"], tuple(regions[image]),
                      entry.get("sha256"), entry.get("masks"))
            )
        return images

    @cached_property
    def vocabulary(self):
        """The words of the trainval expressions, or those the set was prepared with."""
        path = self.directory / "vocabulary.txt"
        if not path.exists():
            raise DatasetError(f"{path} does not exist; make it again with: {self._command}")
        return Vocabulary.load(path)

    def images(self, split):
        """List the Images of ``split`` (train, val, trainval, test) in the split list's order.

        trainval is train followed by val. Images without regions are part of the list.
        """
        if split not in SPLITS:
            raise DatasetError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
        return [image for part in SPLITS[split] for image in self._images[part]]

    def all_images(self):
        """List the Images of every split, in the order train, val, test."""
        return self.images("trainval") + self.images("test")

    def samples(self, split):
        """List the Samples of ``split`` in the order of images, their regions, their expressions.

        An expression that several players gave for a region is as many samples, as in ReferIt.
        """
        return [
            Sample(image, region, expression)
            for image in self.images(split)
            for region in image.regions
            for expression in region.expressions
        ]

    def pixels(self, image: Image) -> np.ndarray:
        """Read an image, BGR uint8 (H, W, 3).

        Raises ImageError when it cannot be read, DatasetError when it is another picture than the
        one that was prepared.
        """
        try:
            return read_image(image.path, sha256=image.sha256)
        except ChangedImageError as error:
            raise DatasetError(f"{error}; prepare again with: {self._command}") from error

    def pixels_and_masks(self, image: Image) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read an image, BGR uint8 (H, W, 3), and its masks, {region id: bool (H, W)}.

        Raises ImageError when the image cannot be read, or has another size than its masks.
        """
        masks, pixels = self.masks(image), self.pixels(image)
        height, width = pixels.shape[:2]
        for mask in masks.values():
            if mask.shape != (height, width):
                raise ImageError(
                    f"{image.path}: {width}x{height} pixels, but its masks were prepared for "
                    f"{mask.shape[1]}x{mask.shape[0]}; prepare the data set again"
                )
        return pixels, masks

    def masks(self, image: Image) -> dict[str, np.ndarray]:
        """Read the masks of an image: ``{region id: bool (H, W)}`` on the image's pixels.

        Raises DatasetError when the set holds annotations only, or the file is missing or broken.
        """
        if self.image_dir is None:
            raise DatasetError(
                f"{self.directory}: prepared with --annotations-only, so it has no masks; with "
                f"images and masks at hand run: {self._command}"
            )
        path = self.directory / "masks" / f"{image.id}.npz"
        try:
            masks = load_masks(path, image.masks_digest)
        except FileNotFoundError:
            raise DatasetError(f"{path} does not exist; run again: {self._command}") from None
        except MaskError as error:
            raise DatasetError(f"{error}; delete it and run again: {self._command}") from error
        missing = [region.id for region in image.regions if region.id not in masks]
        if missing:
            raise DatasetError(
                f"{path}: no mask of region {missing[0]}; delete it and run again: {self._command}"
            )
        return masks
