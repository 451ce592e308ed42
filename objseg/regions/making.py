"""Making the candidate regions of a data set, a file an image, and how many regions they find."""

import contextlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from objseg.data.images import ImageError
from objseg.data.masks import MaskError, load_masks, save_masks
from objseg.files import Progress, is_current, sha256, write_text
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_iou
from objseg.regions.edge_boxes import edge_boxes, structured_forest
from objseg.regions.proposals import (
    ProposalError,
    candidates,
    mask_iou,
    read_boxes,
    read_mcg,
    write_boxes,
)
from objseg.regions.segment_proposals import segment_proposals

VERSION = 1
"""Part of every folder's settings; raise it when a change of the code changes the proposals."""


class Boxes:
    """EdgeBoxes, in DIR/boxes/<image>.txt; ``forest`` is the structured forest's file or None."""

    name, ending, published_ending = "boxes", ".txt", ".txt"

    def __init__(self, count, forest=None):
        self.count = count
        self.model = structured_forest(forest) if forest else None
        self.settings = {"version": VERSION, "count": count,
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
        """IoU of every region's box with the saved box that is next to it."""
        boxes = read_boxes(path)
        return [box_iou(boxes, region.box).max() for region in regions]


class Segments:
    """Segments, in DIR/segments/<image>.npz: files of masks with the rank, "0" ..., as id."""

    name, ending, published_ending = "segments", ".npz", ".mat"

    def __init__(self, count):
        self.count = count
        self.settings = {"version": VERSION, "count": count}

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
        """IoU of every region's mask with the saved segment that is next to it."""
        segments = list(load_masks(path).values())
        return mask_iou(segments, [masks[region.id] for region in regions]).max(axis=0).tolist()


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
    dataset, images, kinds, out, published=None, require_published=False, workers=1,
    overwrite=False,
):
    """Make the proposals of ``images``, of the Dataset, that the folder ``out`` lacks.

    ``kinds`` lists Boxes, Segments or both. The folder ``published`` holds <image>.txt and
    <image>.mat, which are taken in place of our own; where one is missing our own are made, or with
    ``require_published`` it is an error. Files of an earlier run are kept that are newer than what
    they were made of. Returns Made. Raises ProposalError when they were made with other settings;
    with ``overwrite`` they are deleted.
    """
    for kind in kinds:
        source = {"published": published and os.path.relpath(published, out)}
        _claim(out / kind.name, kind, {**kind.settings, **source}, overwrite)
    maker = Maker(dataset, images, kinds, out, published, require_published)
    made = Made({kind.name: {} for kind in kinds}, {kind.name: Counter() for kind in kinds})
    workers = max(1, min(workers, len(images)))
    with Progress(len(images), "proposals", "image") as progress, \
            contextlib.closing(Prefetcher(maker, workers, count=len(images))) as results:
        for image, (problem, found) in zip(images, results):
            if problem:
                made.unreadable[image.id] = problem
                progress.write(f"skipped: {problem}")
            for name, (overlaps, tally) in found.items():
                made.overlaps[name][image.id] = overlaps
                made.tallies[name] += tally
            progress.advance()
    return made


def recall(overlaps, threshold):
    """Share of regions, of the list of their ``overlaps``, that are found: IoU >= ``threshold``."""
    return float(np.mean(np.asarray(overlaps) >= threshold))


class Maker:
    """Makes the proposals of image number n in a background process."""

    def __init__(self, dataset, images, kinds, out, published, require_published):
        self.dataset, self.images, self.kinds, self.out = dataset, images, kinds, out
        self.published, self.require_published = published, require_published

    def __call__(self, number):
        """Return (why the image cannot be read, {}) or (None, {kind: (overlaps, tally)})."""
        image = self.images[number]
        try:
            pixels, masks = self.dataset.pixels_and_masks(image)
        except ImageError as error:
            return str(error), {}
        return None, {kind.name: self._one(kind, image, pixels, masks) for kind in self.kinds}

    def _one(self, kind, image, pixels, masks):
        path = self.out / kind.name / (image.id + kind.ending)
        tally, given = Counter(), self._published(kind, image)
        if is_current(path, image.path) and not (given and _arrived_after(path, given)):
            tally["kept"] += 1
        else:
            kind.save(path, self._found(kind, given, pixels, tally), pixels, tally)
        try:
            return kind.overlaps(path, image.regions, masks) if image.regions else [], tally
        except (ProposalError, MaskError) as error:
            raise ProposalError(f"{error}; delete the file and run again") from error

    def _published(self, kind, image):
        """The published file of an image, or None where our own proposals are wanted."""
        path = self.published and self.published / (image.id + kind.published_ending)
        if path is None or path.is_file():
            return path
        if self.require_published:
            raise ProposalError(
                f"{path} does not exist: the published {kind.name} of the image {image.id}; "
                "without --require-published they are made instead"
            )
        return None

    def _found(self, kind, given, pixels, tally):
        tally["made" if given is None else "published"] += 1
        return kind.find(pixels) if given is None else kind.read_published(given, pixels)


def _arrived_after(path, given):
    """Whether the file ``given`` came here after ``path`` was written.

    An archive gives its files times of long ago; when they were unpacked, only ctime tells.
    """
    return path.stat().st_mtime < given.stat().st_ctime


def _claim(folder, kind, settings, overwrite):
    """See that ``folder`` holds proposals of these ``settings`` only, and note them there."""
    note, files = folder / "settings.json", list(folder.glob(f"*{kind.ending}"))
    foreign = _foreign(note, len(files), settings) if files else None
    if foreign and not overwrite:
        raise ProposalError(f"{folder}: {foreign}")
    for path in files if foreign else ():
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
