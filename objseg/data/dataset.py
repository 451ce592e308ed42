"""The prepared data set: images, regions, expressions, splits and masks, as tools read them."""

import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objseg.data.about import About
from objseg.data.advice import how_to_prepare
from objseg.data.expressions import Vocabulary
from objseg.data.images import ChangedImageError, read_image
from objseg.data.masks import MaskError, load_masks
from objseg.data.splits import named_splits
from objseg.errors import UserError
from objseg.files import digest, sha256

VERSION = 3

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
    (:func:`objseg.data.masks.masks_digest`); None in a set of annotations only. ``source`` is the
    name of the data set that it comes from in a joined one, else "".
    """

    id: str
    path: Path | None
    width: int
    height: int
    regions: tuple
    sha256: str | None = None
    masks_digest: str | None = None
    source: str = ""


class Source(NamedTuple):
    """A prepared data set's own folder, and the one of its images, None without images."""

    directory: Path
    images: Path | None

    @property
    def masks(self) -> Path:
        """The folder of the packed masks."""
        return self.directory / "masks"


class Sample(NamedTuple):
    """An expression (str) for a region of an image: a model is trained and scored on these.

    ``number`` is the place of the expression among the region's, from 0.
    """

    image: Image
    region: Region
    expression: str
    number: int = 0

    @property
    def id(self) -> str:
        """A name that no other sample of the data set has, REGION_NUMBER."""
        return f"{self.region.id}_{self.number}"

    def __str__(self):
        return f"image {self.image.id}, region {self.region.id}: {self.expression}"


class Dataset:
    """A data set prepared by ``tools/prepare_referit.py`` or joined by ``tools/join_datasets.py``.

    ``directory`` holds index.json, vocabulary.txt and masks/<image id>.npz; a joined set reads the
    masks in the folders of its sources. ``name`` is the name of that folder, ``sources`` maps the
    name of each source to its Source (one of the name "" unless joined), ``annotations_only`` says
    that there are no images, and ``about`` is an About, the facts that stand beside every figure.

    Raises DatasetError when the set is missing or broken.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.name = self.directory.resolve().name
        index = read_index(self.directory)
        try:
            self.sources = _sources(self.directory, index)
            self.annotations_only = not any(source.images for source in self.sources.values())
            self.about = About(**index["about"])
            self._vocabulary = index["vocabulary"]
            self._images = self._build(index)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{self.directory / 'index.json'}: incomplete ({type(error).__name__}: {error}); "
                f"make it with: {self._command}"
            ) from error

    @property
    def _command(self) -> str:
        return how_to_prepare(self.directory)

    def _build(self, index: dict) -> dict[str, list[Image]]:
        regions: dict[str, list[Region]] = {image: [] for image in index["images"]}
        for region, entry in index["regions"].items():
            regions[entry["image"]].append(
                Region(region, tuple(entry["box"]), tuple(entry["expressions"]))
            )
        images: dict[str, list[Image]] = {"train": [], "val": [], "test": []}  # and "testA" …
        for image, entry in index["images"].items():
            source = entry.get("source", "")
            folder = self.sources[source].images
            path = folder and folder / entry["file"]
            # a set of annotations alone has no checksums
            images.setdefault(entry["split"], []).append(Image(
                image, path, entry["width"], entry["height"], tuple(regions[image]),
                entry["sha256"] if path else None, entry["masks"] if path else None, source,
            ))
        return images

    @cached_property
    def identity(self) -> str:
        """Checksum of everything that a result depends on; the same for a copy elsewhere.

        It covers the splits, the content of pictures and masks, boxes, expressions, words, and of a
        joined set the names of the sources.
        """
        content = [self._vocabulary]
        for split, images in self._images.items():
            content.append(split)
            for image in images:
                name = image.path and image.path.name
                facts = [image.id, name, *image[2:-1]]
                content.append([*facts, image.source] if image.source else facts)
        return digest(content)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the trainval expressions, or those the set was prepared with.

        Raises DatasetError when there is none, or the file is not that of the index.
        """
        path = self.directory / "vocabulary.txt"
        if self._vocabulary is None:
            raise DatasetError(
                f"{self.directory}: a test split alone has no vocabulary; that of the weights "
                f"serves, or prepare it with other words: {self._command} --vocabulary FILE"
            )
        if not path.is_file() or sha256(path) != self._vocabulary:
            raise DatasetError(
                f"{path}: missing, or not the words that index.json was written with; prepare "
                f"again with: {self._command}"
            )
        return Vocabulary.load(path)

    def images(self, split: str) -> list[Image]:
        """List the Images of ``split`` in the split list's order.

        The splits are those of :func:`objseg.data.splits.named_splits`; trainval is train followed
        by val. Images without regions are part of the list.
        """
        splits = named_splits(self._images)
        if split not in splits:
            raise DatasetError(
                f"{self.directory}: no split {split!r}; expected one of {', '.join(splits)}"
            )
        return [image for part in splits[split] for image in self._images[part]]

    def all_images(self) -> list[Image]:
        """List the Images of every split, in the order train, val, test."""
        return self.images("trainval") + self.images("test")

    def samples(self, split: str) -> list[Sample]:
        """List the Samples of ``split`` in the order of images, their regions, their expressions.

        An expression that several players gave for a region is as many samples, as in ReferIt.
        """
        return [
            Sample(image, region, expression, number)
            for image in self.images(split)
            for region in image.regions
            for number, expression in enumerate(region.expressions)
        ]

    def pixels(self, image: Image) -> np.ndarray:
        """Read an image, BGR uint8 (H, W, 3).

        Raises ImageError when it cannot be read, DatasetError when the set holds annotations only,
        or it is another picture than the one that was prepared.
        """
        if image.path is None:
            raise self._without("images")
        try:
            return read_image(image.path, sha256=image.sha256)
        except ChangedImageError as error:
            raise DatasetError(f"{error}; prepare again with: {self._command}") from error

    def pixels_and_masks(self, image: Image) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read an image, BGR uint8 (H, W, 3), and its masks; errors of ``pixels`` and ``masks``."""
        masks = self.masks(image)
        return self.pixels(image), masks

    def masks(self, image: Image) -> dict[str, np.ndarray]:
        """Read the masks of an image: ``{region id: bool (H, W)}`` on the image's pixels.

        Raises DatasetError when the set holds annotations only, or the file is missing, broken, or
        another than the one that was prepared.
        """
        if image.sha256 is None:
            raise self._without("masks")
        path = self.sources[image.source].masks / f"{image.id}.npz"
        try:
            return load_masks(path, image.masks_digest)
        except FileNotFoundError:
            raise DatasetError(f"{path} does not exist; run again: {self._command}") from None
        except MaskError as error:
            raise DatasetError(f"{error}; delete it and run again: {self._command}") from error

    def _without(self, what: str) -> DatasetError:
        command = self._command.replace(" --annotations-only", "")
        return DatasetError(
            f"{self.directory}: prepared with --annotations-only, so it has no {what}; with "
            f"images and masks at hand run: {command}"
        )


def read_index(directory: Path) -> dict:
    """Read the index.json of a prepared data set.

    Raises DatasetError when it is missing, not readable or of another version.
    """
    path = directory / "index.json"
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError:
        problem = "does not exist"
    except ValueError as error:  # of JSON or UTF-8
        problem = f"not a readable index ({error})"
    else:
        found = index.get("version") if isinstance(index, dict) else type(index).__name__
        if found == VERSION:
            return index
        problem = f"version {found}, expected {VERSION}"
    raise DatasetError(f"{path}: {problem}; make it with: {how_to_prepare(directory)}")


def _sources(directory: Path, index: dict) -> dict[str, Source]:
    """Return the Sources of an index by name.

    A relative folder is meant from ``directory``, so that a checkout can be moved.
    """
    def folder(name):
        return name and (directory / name).resolve()

    if "sources" not in index:
        return {"": Source(directory, folder(index["image_dir"]))}
    return {
        name: Source(folder(entry["directory"]), folder(entry["image_dir"]))
        for name, entry in index["sources"].items()
    }
