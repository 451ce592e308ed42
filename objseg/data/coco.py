"""COCO's instance format: pictures and annotated regions in one JSON file."""

from pathlib import Path, PurePosixPath

import numpy as np

from objseg.data.layout import Layout, PrepareError
from objseg.data.masks import MaskError
from objseg.data.raw import AnnotationError, read_json
from objseg.data.segmentations import decode
from objseg.files import digest

LARGEST = 2**28
"""Pixels of a picture at most."""


class Instances:
    """The content of an instances file: ``images`` and ``annotations``, {id: entry as it is there}.

    Every image has "file_name", a path inside the folder of pictures, "height" and "width", every
    annotation "image_id", an image's, and "segmentation", which is not checked. Raises
    AnnotationError for another content.
    """

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise AnnotationError(f"{path} does not exist: the instances file in COCO's format")
        content = read_json(path)
        self.images = self._read(content, "images", file_name=str, height=int, width=int)
        self.annotations = self._read(content, "annotations", image_id=int)
        for image, entry in self.images.items():
            name = PurePosixPath(entry["file_name"])
            if name.is_absolute() or ".." in name.parts or not name.parts:
                self._refuse(f"image {image}: file_name {entry['file_name']!r}", "a file's name")
            if min(entry["height"], entry["width"]) < 1 or \
                    entry["height"] * entry["width"] > LARGEST:
                self._refuse(f"image {image}: {entry['width']} x {entry['height']} pixels",
                             f"1 to {LARGEST:,}")
        for annotation, entry in self.annotations.items():
            if entry["image_id"] not in self.images or "segmentation" not in entry:
                self._refuse(f"annotation {annotation}: image_id {entry['image_id']}",
                             "the id of one of the images, and a segmentation")

    def _read(self, content: dict, name: str, **types: type) -> dict[int, dict]:
        """Return the list ``name`` by id; every entry has an "id" and what ``types`` says."""
        entries, found = content.get(name), {}
        if not isinstance(entries, list):
            self._refuse(f"{name} is a {type(entries).__name__}", "a list, as COCO's files have")
        for number, entry in enumerate(entries, 1):
            for key, kind in {"id": int, **types}.items():
                if not isinstance(entry, dict) or type(entry.get(key)) is not kind:
                    self._refuse(f"entry {number} of {name}", f"{key}, of type {kind.__name__}")
            if entry["id"] in found:
                self._refuse(f"entry {number} of {name} has the id {entry['id']} of another",
                             "each id once")
            found[entry["id"]] = entry
        return found

    def _refuse(self, found: str, expected: str):
        raise AnnotationError(f"{self.path}: {found}; expected {expected}")


class CocoLayout(Layout):
    """A layout whose pictures and masks are those of an instances file.

    ``pictures`` is {image id of the data set: image id of the file} and ``masks`` {region id:
    annotation id}; a subclass sets them, and the rest of a Layout.
    """

    instances: Instances
    pictures: dict[str, int]
    masks: dict[str, int]

    def check_folders(self) -> None:
        """Raise PrepareError where the folder of the pictures is missing."""
        if not self.images.is_dir():
            raise PrepareError(
                f"{self.images}: no such folder; expected the pictures there, or name their folder "
                "with --images"
            )

    def picture(self, image: str) -> Path:
        """Return the file that the image's file_name names."""
        return self.images / self.instances.images[self.pictures[image]]["file_name"]

    def mask_digest(self, region: str) -> str:
        """Return the checksum of the segmentation and the size of its image."""
        return digest(self._segmentation(region))

    def mask_place(self, region: str) -> str:
        """Name the file and the annotation."""
        return f"{self.instances.path}, annotation {self.masks[region]}"

    def mask(self, region: str) -> np.ndarray:
        """Decode the segmentation."""
        try:
            return decode(*self._segmentation(region))
        except MaskError as error:
            raise MaskError(f"{self.mask_place(region)}: {error}") from error

    def _segmentation(self, region: str) -> tuple:
        annotation = self.instances.annotations[self.masks[region]]
        image = self.instances.images[annotation["image_id"]]
        return annotation["segmentation"], image["height"], image["width"]
