"""Making the candidate regions of a data set, a file an image, and how many regions they find."""

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset, Image
from objseg.data.masks import load_masks, save_masks
from objseg.errors import UserError
from objseg.files import Progress, sha256, write_text
from objseg.metrics import areas, iou
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_iou
from objseg.regions.edge_boxes import edge_boxes, structured_forest
from objseg.regions.index import ProposalIndex
from objseg.regions.proposals import candidates, read_boxes, read_mcg, write_boxes
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

    def save(self, path, found, pixels):
        """Write what was found in an image or published of it."""
        height, width = pixels.shape[:2]
        write_boxes(path, candidates(found, width, height, self.count))

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

    def save(self, path, found, pixels):
        """Write what was found in an image or published of it; the whole image stands for none."""
        kept = [mask for mask in found if mask.any()] or [np.ones(pixels.shape[:2], bool)]
        save_masks(path, {str(rank): mask for rank, mask in enumerate(kept)}, pixels.shape[:2])

    def overlaps(self, path, regions, masks):
        """Return the IoU of each region's mask with its best-overlapping proposal: R floats."""
        segments = load_masks(path).values()
        return [
            max(float(iou(*areas(segment, masks[region.id]))) for segment in segments)
            for region in regions
        ]


def make_proposals(
    dataset: Dataset, images: list[Image], kind: Boxes | Segments, out: Path,
    published: Path | None = None, workers: int = 1, overwrite: bool = False,
) -> tuple[dict[str, list[float]], Counter]:
    """Make the proposals of ``images`` that the folder of their ``kind`` in ``out`` lacks.

    Those in the folder ``published``, <image>.txt or <image>.mat, are taken from there. A file of
    an earlier run is kept if its index entry names the picture, the published file and the file
    itself as they are now. Raises UserError when the folder was made with other settings; with
    ``overwrite`` its files are deleted.

    Returns {image id: IoU of every region with its best proposal}, and how many images' proposals
    were "made", "published" and "kept".
    """
    folder = out / kind.name
    source = published and os.path.relpath(published, out)
    _claim(folder, kind, {**kind.settings, "published": source}, overwrite)
    index = ProposalIndex(folder)

    def make(number):
        image = images[number]
        pixels, masks = dataset.pixels_and_masks(image)
        path, given = folder / f"{image.id}{kind.ending}", None
        if published and (published / f"{image.id}{kind.published_ending}").is_file():
            given = published / f"{image.id}{kind.published_ending}"
        if path.is_file() and index.entries.get(image.id) == index.entry(image, given, path):
            what = "kept"
        else:
            what = "published" if given else "made"
            found = kind.read_published(given, pixels) if given else kind.find(pixels)
            kind.save(path, found, pixels)
        return what, index.entry(image, given, path), kind.overlaps(path, image.regions, masks)

    overlaps, tally, workers = {}, Counter(), max(1, min(workers, len(images)))
    with Progress(len(images), kind.name, "image") as progress, \
            contextlib.closing(Prefetcher(make, workers, count=len(images))) as results:
        for image, (what, entry, found) in zip(images, results):
            overlaps[image.id] = found
            tally[what] += 1
            if what != "kept":
                index.append(entry)
            progress.advance()
    return overlaps, tally


def recall(overlaps: list[float], threshold: float) -> float:
    """Share of regions, of the list of their ``overlaps``, that are found: IoU >= ``threshold``."""
    return float(np.mean(np.asarray(overlaps) >= threshold))


def _claim(folder, kind, settings, overwrite):
    """See that ``folder`` holds proposals of these ``settings`` only, and note them there."""
    note, files, stored = folder / "settings.json", list(folder.glob(f"*{kind.ending}")), None
    with contextlib.suppress(OSError, ValueError):
        stored = json.loads(note.read_text(encoding="utf-8"))
    if files and stored != settings:
        if not overwrite:
            raise UserError(
                f"{folder}: {len(files)} files made with the settings {stored}, not {settings}; "
                "give the same, another --out, or --overwrite to delete them. Name a folder of "
                "lists of your own with --published"
            )
        for path in [*files, *folder.glob("index.jsonl")]:
            path.unlink()
    write_text(note, json.dumps(settings, indent=1) + "\n")
