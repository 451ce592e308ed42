"""ReferIt's layout on disk: pictures by image id, and a mask file per region."""

from pathlib import Path

import numpy as np

from objseg.data.about import read_about
from objseg.data.layout import Layout, PrepareError
from objseg.data.masks import MaskError, read_mask_image, read_mat
from objseg.data.raw import read_annotations
from objseg.files import sha256

PICTURES = (".jpg", ".jpeg", ".png")
"""Endings under which a picture is looked for."""

MASKS = {".mat": read_mat, ".png": read_mask_image}
"""The readers of a mask file by its ending."""


class Referit(Layout):
    """Raw data in ReferIt's layout in the ``folder``.

    It holds images/<image id>.jpg, mask/<region id>.mat or .png, and the text files of
    :func:`objseg.data.raw.read_annotations`, whose errors it raises.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder)
        self.images, self.masks = self.path / "images", self.path / "mask"
        self.annotations = read_annotations(self.path)
        self.about = read_about(self.path, self.annotations)
        self.recipe = {}

    def check_folders(self) -> None:
        """Raise PrepareError where images/ or mask/ is missing."""
        for folder in self.images, self.masks:
            if not folder.is_dir():
                raise PrepareError(
                    f"{folder}: no such folder; expected ReferIt's images/ and mask/ in "
                    f"{self.path} (--annotations-only prepares expressions and counts without "
                    "them)"
                )

    def picture(self, image: str) -> Path:
        """Return the first of the files of an image, by ``PICTURES``; .jpg, where there is none."""
        paths = [self.images / (image + ending) for ending in PICTURES]
        return next((path for path in paths if path.is_file()), paths[0])

    def _mask_files(self, region: str) -> list[Path]:
        """List the mask files of a region that are there; .mat, where there is none."""
        paths = [self.masks / (region + ending) for ending in MASKS]
        return [path for path in paths if path.is_file()] or paths[:1]

    def mask_digest(self, region: str) -> str | None:
        """Return the checksum of the mask file, or those of two files."""
        paths = self._mask_files(region)
        return " ".join(map(sha256, paths)) if paths[0].is_file() else None

    def mask_place(self, region: str) -> str:
        """Name the mask file."""
        return " and ".join(map(str, self._mask_files(region)))

    def mask(self, region: str) -> np.ndarray:
        """Read the mask file; MaskError also where there are two."""
        paths = self._mask_files(region)
        if len(paths) > 1:
            raise MaskError(f"{self.mask_place(region)} are both there; expected one of them")
        return MASKS[paths[0].suffix](paths[0])
