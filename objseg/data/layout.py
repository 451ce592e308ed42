"""A raw data set as preparation reads it; there is a subclass for each layout on disk."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from objseg.data.about import About
from objseg.data.raw import Annotations
from objseg.errors import UserError


class PrepareError(UserError):
    """Raw data that cannot be prepared; says what is missing and what to do."""


class Layout(ABC):
    """Raw data: pictures, masks, expressions and splits.

    ``path`` is the folder or file of the raw data, ``images`` the folder of the pictures.
    ``recipe`` holds entries of index.json from which :func:`objseg.data.advice.how_to_prepare`
    makes the command that prepares the set again: {"tool": name, "options": list of words}, {} for
    tools/prepare_referit.py.
    """

    path: Path
    images: Path
    annotations: Annotations
    about: About
    recipe: dict

    @abstractmethod
    def check_folders(self) -> None:
        """Raise PrepareError where the folder of the pictures or of the masks is missing."""

    @abstractmethod
    def picture(self, image: str) -> Path:
        """Return the file of an image, a path in ``images``, whether it is there or not."""

    @abstractmethod
    def mask_digest(self, region: str) -> str | None:
        """Return a checksum of what the mask of a region is made from, None where that is not."""

    @abstractmethod
    def mask_place(self, region: str) -> str:
        """Name the file, or the part of a file, that holds the mask of a region, for messages."""

    @abstractmethod
    def mask(self, region: str) -> np.ndarray:
        """Read the mask of a region, bool (H, W). Raises MaskError where it cannot be used."""
