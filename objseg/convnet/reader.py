"""Reading the maps of a data set's pictures: HDF5, a file per picture, beside an index."""

import json
from pathlib import Path

import h5py
import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.errors import UserError
from objseg.files import digest

VERSION = 1
"""Part of every key; raise it when a change of the code changes the maps."""

PLAIN, MIRRORED = "plain", "mirrored"


class ConvnetError(UserError):
    """Maps that are missing or out of date; says which file and what to run."""


def maps_key(made_by: str, image: Image) -> str:
    """Return a checksum of all that the maps of ``image`` depend on.

    ``made_by`` is the checksum of the net, its weights and the numbers' type.
    """
    return digest([made_by, image.sha256])


class ConvnetReader:
    """The maps that tools/extract_convnet.py has made in ``folder`` of the pictures of ``dataset``.

    ``source`` are the convolutions, {"file": of weights, "sha256": of the numbers in it}, the path
    relative to the repository where it is there. ``made_by`` is a checksum of all that the maps
    depend on besides the picture, ``shape`` (C, h, w) that of the maps. Raises ConvnetError when
    they are missing, broken or of another picture.
    """

    def __init__(self, folder: str | Path, dataset: Dataset):
        self.folder, self.dataset = Path(folder), dataset
        path = self.folder / "index.json"
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            if index["version"] != VERSION:
                raise ValueError("of another version")
            self.source, self.made_by = index["source"], index["made by"]
            self.shape = tuple(index["shape"])
        except FileNotFoundError:
            raise ConvnetError(f"{path} does not exist; {self.remedy}") from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConvnetError(f"{path}: not a readable index ({error}); {self.remedy}") from error

    @property
    def remedy(self) -> str:
        """The command that makes the maps."""
        size = self.folder.name if self.folder.parent.name == "convnet" else "SIZE"
        return (
            f"make it with: python tools/extract_convnet.py --size {size} --data "
            f"{self.dataset.directory} --out {self.folder}"
        )

    def require(self, images: list[Image]) -> None:
        """Raise ConvnetError where an image has no file."""
        there = {path.stem for path in self.folder.glob("*.h5")}
        missing = [image.id for image in images if image.id not in there]
        if missing:
            raise ConvnetError(
                f"{self.folder / missing[0]}.h5 does not exist; {len(missing)} of {len(images)} "
                f"pictures lack their maps; {self.remedy}"
            )

    def read(self, image: Image, mirrored: bool = False) -> np.ndarray:
        """Return the maps of an image (C, h, w), or those of its mirror image.

        Their type is the file's, float16 or float32.
        """
        path = self.folder / f"{image.id}.h5"
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["key"] == maps_key(self.made_by, image):
                    return file[MIRRORED if mirrored else PLAIN][()]
        except (OSError, KeyError) as error:
            raise ConvnetError(f"{path}: missing or broken ({error}); {self.remedy}") from error
        raise ConvnetError(f"{path}: of another picture or other weights; {self.remedy}")
