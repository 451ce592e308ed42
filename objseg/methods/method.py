"""A row of Table 1, and the files that it needs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from objseg.caffe.blas import cpu_kernels
from objseg.files import sha256
from objseg.regions.index import ProposalIndex


@dataclass(frozen=True)
class Configuration:
    """A method with the files it needs; ``gpu`` is a device number, or None for the CPU.

    ``proposals`` and ``features`` are the folders of a data set's proposals and of their features;
    without them both are computed from the image, the features by the net ``crops`` with the
    weights ``trunk``. A Configuration is small and can be sent to another process.
    """

    method: str
    deploy: Path | None = None
    weights: Path | None = None
    vocabulary: Path | None = None
    gpu: int | None = None
    proposals: Path | None = None
    features: Path | None = None
    crops: Path | None = None
    trunk: Path | None = None

    def identity(self) -> dict:
        """Return everything that the masks depend on: {option or file role: value or sha256}."""
        files = {"deploy": self.deploy, "weights": self.weights, "vocabulary": self.vocabulary}
        if self.features is not None:
            files["features"] = self.features / "index.json"
        identity = {
            "method": self.method,
            **{role: sha256(path) for role, path in files.items() if path is not None},
        }
        if self.proposals is not None:
            identity["proposals"] = ProposalIndex(self.proposals).identity
        if self.deploy is not None and self.gpu is None and cpu_kernels() != "stock":
            # of any instructions: they differ as BLAS's do
            identity["convolutions"] = "Winograd 3x3, 7x7"
        return identity


Find = Callable[[np.ndarray, list[str], str | None], Iterator[tuple[Any, str | None]]]
"""A function of an image, BGR uint8 (H, W, 3), expressions, and the image's id in a data set or
None. It iterates over what it finds for each expression, with a note where something was unusual,
such as "no frequent word", else None."""

Draw = Callable[[np.ndarray, Iterable], Iterator[tuple[np.ndarray, str | None]]]
"""A function of an image and what was found for each expression. It iterates over the masks, bool
(H, W), with a note or None."""


@dataclass(frozen=True)
class Method:
    """A row of Table 1, or of masks that somebody else made: those have no ``open`` and ``draw``.

    ``paper`` is the row's precision@0.5 ... @0.9 and overall IoU in percent on the ReferIt test
    split, ``seconds`` the time per input on a Tesla K40 in the paper's Table 2, None where it has
    none. ``open`` loads the net. ``model`` is the trained model (see models/registry.py), None
    where nothing is learnt; methods of one model have the same ``open``. ``needs`` names what a
    method takes from the image's proposals: "features" of boxes, "segments", or None.
    """

    name: str
    title: str
    paper: tuple[float, ...]
    open: Callable[[Configuration], Find] | None
    draw: Draw | None
    model: str | None = None
    needs: str | None = None
    seconds: float | None = None
