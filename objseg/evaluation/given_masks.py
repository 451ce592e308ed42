"""Masks that somebody else's method predicted, a PNG file per sample, and their score."""

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from objseg.data.dataset import Sample
from objseg.data.masks import MaskError, read_mask_image
from objseg.errors import UserError
from objseg.evaluation.evaluate import Evaluation, Request, measure
from objseg.files import Progress, atomic_path, digest, sha256
from objseg.methods.method import Method
from objseg.parallel.prefetch import Prefetcher

SHOWN = 5
"""Files that a message names."""


def write_list(path: Path, request: Request) -> int:
    """Write a CSV file of the samples that masks are wanted for; returns their number.

    A line has the sample's id, which is its mask's name, the picture's path, width and height in
    pixels, the region's id and the expression.
    """
    samples = [sample for group in request.images for sample in group]
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["sample", "picture", "width", "height", "region", "expression"])
        writer.writerows(
            (sample.id, sample.image.path, sample.image.width, sample.image.height,
             sample.region.id, sample.expression)
            for sample in samples
        )
    return len(samples)


def score(request: Request, folder: Path, title: str, workers: int = 1) -> Evaluation:
    """Score the masks ``folder``/<sample id>.png of the samples of a Request as the row ``title``.

    The same for any number of ``workers``. Raises UserError where files are missing or there are
    others, where a mask is not binary (:func:`objseg.data.masks.read_mask_image`) or not of its
    picture's size; ImageError and DatasetError where the data set is damaged.
    """
    request.check()
    samples = [sample for group in request.images for sample in group]
    _check_names(folder, samples, request.split)

    def of_image(number):
        truth = request.dataset.masks(request.images[number][0].image)
        rows, problems = [], []
        for sample in request.images[number]:
            try:
                rows.append(measure(_read(folder, sample), truth[sample.region.id]))
            except MaskError as error:
                problems.append(str(error))
        return rows, problems

    rows, problems, workers = [], [], max(1, min(workers, len(request.images)))
    with Progress(len(samples), "score", "sample") as progress, contextlib.closing(
        Prefetcher(of_image, workers, count=len(request.images))
    ) as results:
        for found, wrong in results:
            rows += found
            problems += wrong
            progress.advance(len(found) + len(wrong))
    if problems:
        raise UserError(f"{len(problems):,} of {len(samples):,} masks cannot be used: "
                        f"{_first(problems, '; ')}")
    columns = np.array(rows, np.int64)
    masks = {sample.id: sha256(_path(folder, sample)) for sample in samples}
    return Evaluation(
        Method("masks", title, (), None, None), None, partial(_open_masks, folder),
        request.identity({"method": "masks", "masks": digest(masks)}),
        samples, *columns[:, :2].T, columns[:, 2:], Counter(),
    )


def _check_names(folder: Path, samples: list[Sample], split: str) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a file <sample id>.png of each sample")
    wanted = {_path(folder, sample).name for sample in samples}
    found = {path.name for path in folder.iterdir()}
    if missing := sorted(wanted - found):
        raise UserError(
            f"{folder}: {len(missing):,} of {len(wanted):,} masks of the split {split} missing: "
            f"{_first(missing)}; --list FILE writes what is expected. Where a method finds nothing "
            "the mask is black"
        )
    others = sorted(name for name in found - wanted if name.lower().endswith(".png"))
    if others:
        raise UserError(
            f"{folder}: PNG files of no sample of the split {split}, {len(others):,} in all: "
            f"{_first(others)}; expected only <sample id>.png, such as {min(wanted)}"
        )


def _first(items: list[str], separator: str = ", ") -> str:
    return separator.join([*items[:SHOWN], "…"] if len(items) > SHOWN else items)


def _path(folder: Path, sample: Sample) -> Path:
    return folder / f"{sample.id}.png"


def _read(folder: Path, sample: Sample) -> np.ndarray:
    """Read the mask of a sample, bool (H, W); MaskError for one that is not of its image's size."""
    mask, image = read_mask_image(_path(folder, sample)), sample.image
    if mask.shape != (image.height, image.width):
        raise MaskError(
            f"{_path(folder, sample)}: {mask.shape[1]} x {mask.shape[0]} pixels, expected the "
            f"picture's {image.width} x {image.height}"
        )
    return mask


def _open_masks(folder: Path):
    """Return a function that reads the masks again; see objseg.evaluation.evaluate.OpenMasks."""
    def masks(samples: list[Sample], pixels: np.ndarray) -> Iterator[np.ndarray]:
        return (_read(folder, sample) for sample in samples)

    return masks
