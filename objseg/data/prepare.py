"""From a raw data set to the prepared one that ``objseg.data.dataset`` reads."""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Container
from pathlib import Path

from objseg.data.dataset import VERSION
from objseg.data.expressions import MIN_COUNT, Vocabulary
from objseg.data.layout import Layout, PrepareError
from objseg.data.packing import is_ours, pack_image
from objseg.data.raw import Annotations
from objseg.data.referit import Referit
from objseg.data.summary import (
    count_problems,
    count_shared_pictures,
    describe,
    expressions_of,
    list_skipped,
    summarize,
)
from objseg.files import REPOSITORY, Progress, atomic_path
from objseg.parallel.cores import available_cores
from objseg.parallel.prefetch import Prefetcher


def prepare(
    raw: str | Path | Layout, out: str | Path, vocabulary: Vocabulary | None = None,
    min_count: int = MIN_COUNT, annotations_only: bool = False, workers: int | None = None,
) -> dict:
    """Turn the raw data set in ``raw`` into the prepared one in ``out`` and return its index.

    ``raw`` is a Layout, or a folder in ReferIt's layout. ``vocabulary`` is used if given, else one
    is built from the trainval expressions with ``min_count``; a test split alone gets none.
    ``annotations_only`` takes sizes and boxes from the JSON files of ReferIt's authors and writes
    no masks. ``workers`` processes decode images and masks (default: one a core).

    Everything is decided by content: packed masks of the same pictures and masks are kept, so that
    an interrupted run continues, and a file is written only when its bytes change. index.json
    is replaced last; until then readers refuse what the old one does not describe. Images and masks
    that cannot be used are left out and listed in the index under "skipped"; "summary" counts them.
    Boxes are those of the masks.

    Raises AnnotationError and PrepareError when there is nothing sound to prepare.
    """
    layout, out = raw if isinstance(raw, Layout) else Referit(raw), Path(out)
    annotations = layout.annotations
    regions = annotations.regions_by_image()
    if annotations_only:
        records = _records_from_json(layout.path, annotations, regions)
    else:
        records = _pack_images(layout, out, regions, workers or available_cores())
    index = {
        "version": VERSION,
        "raw": portable(layout.path, out),
        **layout.recipe,
        "image_dir": None if annotations_only else portable(layout.images, out),
        "about": layout.about._asdict(),
        "min_count": None if vocabulary else min_count,
        **_entries(annotations, regions, records),
    }
    if any("split" in entry for entry in index["skipped"]):  # results would be about less
        index["about"]["benchmark"] = None
    if not index["regions"]:
        first = "".join(f"; the first problem: {line}" for line in list_skipped(index)[:1])
        raise PrepareError(f"{layout.path}: no region of any split could be used{first}")
    notes = count_problems(index, annotations) + Counter({
        "image without expression": list(regions.values()).count([]),
        "mask resized to its image": sum(record["resized"] for record in records.values()),
        "picture in more than one split": count_shared_pictures(index),
    })
    write_index(out, index, annotations.source, vocabulary, notes)
    return index


def _records_from_json(
    raw: Path, annotations: Annotations, regions: dict[str, list[str]]
) -> dict[str, dict]:
    """Make the records of ``pack_image`` from the authors' JSON files alone."""
    for name, content in ("imsize", annotations.sizes), ("bbox", annotations.boxes):
        if not content:
            raise PrepareError(
                f"{raw}: no referit_{name}.json; without images and masks the sizes and boxes "
                "come from the authors' JSON files"
            )
    records = {}
    for image, wanted in regions.items():
        boxes = {r: annotations.boxes[r] for r in wanted if r in annotations.boxes}
        problems = {r: ["no box in referit_bbox.json", ""] for r in wanted if r not in boxes}
        entry = None
        if image in annotations.sizes:
            width, height = annotations.sizes[image]
            entry = {"file": f"{image}.jpg", "width": width, "height": height}
        else:
            problems[image] = ["no size in referit_imsize.json", ""]
        records[image] = {"image": entry, "boxes": boxes, "resized": 0, "problems": problems}
    return records


def _pack_images(
    layout: Layout, out: Path, regions: dict[str, list[str]], workers: int
) -> dict[str, dict]:
    """Run ``pack_image`` over all images; deletes prepare's files of images not in the set."""
    layout.check_folders()
    remove_masks(out, regions)  # those of an earlier split list
    tasks, records = list(regions.items()), {}

    def pack(number):
        return pack_image(layout, out, *tasks[number])

    if workers == 1:
        stream = (pack(number) for number in range(len(tasks)))
    else:
        stream = Prefetcher(pack, workers, count=len(tasks))
    with contextlib.closing(stream), Progress(len(tasks), "prepare", "image") as progress:
        for (image, _), record in zip(tasks, stream):
            records[image] = record
            progress.advance()
    return records


def _entries(
    annotations: Annotations, regions_of: dict[str, list[str]], records: dict[str, dict]
) -> dict:
    """Return the ``images`` and ``regions`` of the index, and what is ``skipped``."""
    split_of = {image: split for split, images in annotations.splits.items() for image in images}
    images, regions = {}, {}
    skipped = [{"what": place, "reason": reason} for place, reason in annotations.problems]

    def skip(what, problem, split, lost):
        reason, detail = problem
        expressions = sum(len(annotations.expressions[region]) for region in lost)
        skipped.append({"what": what, "reason": reason, "detail": detail, "split": split,
                        "regions": len(lost), "expressions": expressions})

    for image, wanted in regions_of.items():
        record, split = records[image], split_of[image]
        if record["image"] is None:
            skip(f"image {image}", record["problems"][image], split, wanted)
            continue
        images[image] = {**record["image"], "split": split}
        for region in wanted:
            if region in record["problems"]:
                skip(f"region {region}", record["problems"][region], split, [region])
            else:
                regions[region] = {"image": image, "box": record["boxes"][region],
                                   "expressions": annotations.expressions[region]}
    return {"images": images, "regions": regions, "skipped": skipped}


def remove_masks(out: Path, kept: Container[str]) -> None:
    """Delete prepare's files of masks in ``out``, except those of the images ``kept``."""
    for path in (out / "masks").glob("*.npz"):
        if path.stem not in kept and is_ours(path):
            path.unlink()


def write_index(
    out: Path, index: dict, source: str, vocabulary: Vocabulary | None, notes: Counter
) -> None:
    """Complete ``index`` and write vocabulary.txt, summary.txt and last index.json into ``out``.

    ``source`` and ``notes`` are those of :func:`objseg.data.summary.summarize`. Without a
    ``vocabulary`` one is built from the trainval expressions, if there are any, with the index's
    min_count. The index gets the summary and the words' checksum.
    """
    if vocabulary is None and (expressions := expressions_of(index, "trainval")):
        vocabulary = Vocabulary.build(expressions, index["min_count"])
    index["summary"] = summarize(index, source, vocabulary, notes)
    index["vocabulary"] = None
    if vocabulary is None:
        (out / "vocabulary.txt").unlink(missing_ok=True)
    else:
        words = vocabulary.text.encode()
        index["vocabulary"] = hashlib.sha256(words).hexdigest()
        _replace(out / "vocabulary.txt", words)
    text = describe(out.resolve().name, index["summary"])
    text += "".join(f"skipped: {line}\n" for line in list_skipped(index))
    _replace(out / "summary.txt", text.encode(errors="backslashreplace"))
    _replace(out / "index.json", json.dumps(index).encode())


def _replace(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


def portable(folder: Path, out: Path) -> str:
    """Name ``folder`` relative to ``out`` when both move with the checkout, else absolutely."""
    folder, out = folder.resolve(), out.resolve()
    if folder.is_relative_to(REPOSITORY) and out.is_relative_to(REPOSITORY):
        return os.path.relpath(folder, out)
    return str(folder)
