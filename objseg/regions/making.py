"""Making the candidate regions of a data set, a file an image, and how many regions they find."""

import contextlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.data.images import ImageError
from objseg.data.masks import load_masks, save_masks
from objseg.files import Progress, sha256, write_text
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_iou
from objseg.regions.edge_boxes import edge_boxes, structured_forest
from objseg.regions.index import ProposalIndex
from objseg.regions.proposals import (
    ProposalError,
    candidates,
    mask_iou,
    read_boxes,
    read_mcg,
    write_boxes,
)
from objseg.regions.segment_proposals import segment_proposals

VERSIONS = {"boxes": 2, "segments": 1}
"""Part of a folder's settings; raise one when a change of the code changes the proposals."""


class Boxes:
    """EdgeBoxes, in DIR/boxes/<image>.txt; ``forest`` is the structured forest's file or None."""

    name, ending, published_ending = "boxes", ".txt", ".txt"

    def __init__(self, count, forest=None):
        self.count = count
        self.model = structured_forest(forest) if forest else None
        self.settings = {"version": VERSIONS["boxes"], "count": count,
                         "structured forest": sha256(forest) if forest else None}

    def find(self, pixels):
        """Find the boxes of an image, BGR uint8 (H, W, 3)."""
        return edge_boxes(pixels, self.count, self.model)

    def read_published(self, path, pixels):
        """Read the published list of an image."""
        return read_boxes(path)

    def save(self, path, found, pixels, tally):
        """Write what was found in an image or published of it."""
        height, width = pixels.shape[:2]
        write_boxes(path, candidates(found, width, height, self.count, tally))

    def overlaps(self, path, regions, masks):
        """Return the IoU of each region's box with its best-overlapping proposal: R floats."""
        boxes = read_boxes(path)
        return [box_iou(boxes, region.box).max() for region in regions]


class Segments:
    """Segments, in DIR/segments/<image>.npz: files of masks with the rank, "0" ..., as id."""

    name, ending, published_ending = "segments", ".npz", ".mat"

    def __init__(self, count):
        self.count = count
        self.settings = {"version": VERSIONS["segments"], "count": count}

    def find(self, pixels):
        """Find the segments of an image, BGR uint8 (H, W, 3)."""
        return segment_proposals(pixels, self.count)

    def read_published(self, path, pixels):
        """Read MCG's result for an image."""
        return read_mcg(path, *pixels.shape[:2], self.count)

    def save(self, path, found, pixels, tally):
        """Write what was found in an image or published of it; readers take none as the whole."""
        kept = [mask for mask in found if mask.any()]
        tally["empty"] += len(found) - len(kept)
        tally["whole image"] += not kept
        kept = kept or [np.ones(pixels.shape[:2], bool)]
        save_masks(path, {str(rank): mask for rank, mask in enumerate(kept)}, pixels.shape[:2])

    def overlaps(self, path, regions, masks):
        """Return the IoU of each region's mask with its best-overlapping proposal: R floats."""
        segments = list(load_masks(path).values())
        return mask_iou(segments, [masks[region.id] for region in regions]).max(axis=0).tolist()


@dataclass(frozen=True)
class Published:
    """Where published proposals are: <image>.txt and <image>.mat in ``folder``, or None.

    Where the file of an image is missing its proposals are made, or, if ``required``, it is an
    error.
    """

    folder: Path | None = None
    required: bool = False

    def file(self, kind, image: Image) -> Path | None:
        """Return the file of an image's proposals of a kind; None where our own are wanted."""
        path = self.folder and self.folder / (image.id + kind.published_ending)
        if path is None or path.is_file():
            return path
        if self.required:
            raise ProposalError(
                f"{path} does not exist: the published {kind.name} of the image {image.id}; "
                "without --require-published they are made instead"
            )
        return None


class ImageResult(NamedTuple):
    """The ``overlaps`` of an image's regions, the ``tally`` of its proposals, its index entry."""

    overlaps: list
    tally: Counter
    entry: dict | None


@dataclass
class Made:
    """The counts of a run of :func:`make_proposals`.

    ``overlaps`` is {kind: {image id: [IoU of every region with the best proposal]}}, ``tallies``
    {kind: Counter} of what became of images and proposals, ``unreadable`` {image id: message}.
    """

    overlaps: dict = field(default_factory=dict)
    tallies: dict = field(default_factory=dict)
    unreadable: dict = field(default_factory=dict)


def make_proposals(
    dataset: Dataset, images: list[Image], kinds: list, out: Path,
    source: Published = Published(), workers: int = 1, overwrite: bool = False,
) -> Made:
    """Make the proposals of ``images`` that the folder ``out`` lacks.

    ``kinds`` lists Boxes, Segments or both. A file of an earlier run is kept if its index entry
    names the picture, the published file and the file itself as they are now. Raises ProposalError
    when the folder was made with other settings; with ``overwrite`` its files are deleted.
    """
    for kind in kinds:
        folder = {"published": source.folder and os.path.relpath(source.folder, out)}
        _claim(out / kind.name, kind, {**kind.settings, **folder}, overwrite)
    maker = Maker(dataset, images, kinds, out, source)
    made = Made({kind.name: {} for kind in kinds}, {kind.name: Counter() for kind in kinds})
    workers = max(1, min(workers, len(images)))
    with Progress(len(images), "proposals", "image") as progress, \
            contextlib.closing(Prefetcher(maker, workers, count=len(images))) as results:
        for image, (problem, found) in zip(images, results):
            if problem:
                made.unreadable[image.id] = problem
                progress.write(f"skipped: {problem}")
            for name, result in found.items():
                made.overlaps[name][image.id] = result.overlaps
                made.tallies[name] += result.tally
                maker.indexes[name].append([result.entry] if result.entry else [])
            progress.advance()
    return made


def recall(overlaps: list[float], threshold: float) -> float:
    """Share of regions, of the list of their ``overlaps``, that are found: IoU >= ``threshold``."""
    return float(np.mean(np.asarray(overlaps) >= threshold))


class Maker:
    """Makes the proposals of image number n in a background process."""

    def __init__(self, dataset, images, kinds, out, source):
        self.dataset, self.images, self.kinds, self.out, self.source = (
            dataset, images, kinds, out, source
        )
        self.indexes = {kind.name: ProposalIndex(out / kind.name) for kind in kinds}

    def __call__(self, number):
        """Return (why the image cannot be read, {}) or (None, {kind's name: ImageResult})."""
        image = self.images[number]
        try:
            pixels, masks = self.dataset.pixels_and_masks(image)
        except ImageError as error:
            return str(error), {}
        return None, {kind.name: self._one(kind, image, pixels, masks) for kind in self.kinds}

    def _one(self, kind, image, pixels, masks):
        path = self.out / kind.name / (image.id + kind.ending)
        index, tally = self.indexes[kind.name], Counter()
        published = self.source.file(kind, image)
        if path.is_file() and index.entries.get(image.id) == index.entry(image, published, path):
            tally["kept"] += 1
            entry = None
        else:
            tally["published" if published else "made"] += 1
            found = kind.read_published(published, pixels) if published else kind.find(pixels)
            kind.save(path, found, pixels, tally)
            entry = index.entry(image, published, path)
        overlaps = kind.overlaps(path, image.regions, masks) if image.regions else []
        return ImageResult(overlaps, tally, entry)


def _claim(folder, kind, settings, overwrite):
    """See that ``folder`` holds proposals of these ``settings`` only, and note them there."""
    note, files = folder / "settings.json", list(folder.glob(f"*{kind.ending}"))
    foreign = _foreign(note, len(files), settings) if files else None
    if foreign and not overwrite:
        raise ProposalError(f"{folder}: {foreign}")
    for path in [*files, *folder.glob("index.jsonl")] if foreign else ():
        path.unlink()
    write_text(note, json.dumps(settings, indent=1) + "\n")


def _foreign(note, count, settings):
    """Why the ``count`` proposals beside ``note`` are not of these ``settings``, and what to do.

    Returns None where they are.
    """
    try:
        stored = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (
            f"{count} files, but no readable settings.json that says how they were made; put a "
            "list of your own into another folder and name it with --published, or delete these "
            "with --overwrite"
        )
    different = [
        f"{name} {stored.get(name)} there, {settings.get(name)} here"
        for name in sorted({*stored, *settings}) if stored.get(name) != settings.get(name)
    ]
    if different:
        return (
            f"made with other settings ({'; '.join(different)}); give the same, another --out, or "
            "--overwrite to make them anew"
        )
    return None
