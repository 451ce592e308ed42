"""From ReferIt as it lies on disk to the prepared data set that ``objseg.data.dataset`` reads."""

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections import Counter
from pathlib import Path

from objseg.data.dataset import SPLITS, VERSION
from objseg.data.expressions import MAX_WORDS, Vocabulary, split, tokenize
from objseg.data.images import ImageError, read_image
from objseg.data.masks import (
    MaskError,
    bounding_box,
    digest_of,
    fit,
    load_note,
    read_mat,
    save_masks,
)
from objseg.data.raw import read_annotations
from objseg.errors import UserError
from objseg.files import REPOSITORY, Progress, sha256, write_text
from objseg.parallel.cores import available_cores
from objseg.parallel.prefetch import Prefetcher, WorkerError

ENDINGS = (".jpg", ".jpeg", ".png")
"""Endings under which an image is looked for."""


REFERIT_TEST = "bd1df1e448c21a80536a08d1bf734963424c076872b79ff4d5ffd7182bb8dfb2"
"""The sha256 of the 10,000 image ids of ReferIt's test split, joined by line ends."""

MESSAGES = 20
"""Skipped images and masks that are printed; index.json lists them all."""


class PrepareError(UserError):
    """Raw data that cannot be prepared; says what is missing and what to do."""


def prepare(raw, out, vocabulary=None, min_count=2, annotations_only=False, workers=None):
    """Turn the raw data set in ``raw`` into the prepared one in ``out`` and return its index.

    ``vocabulary`` is a Vocabulary to use, else one is built from the trainval expressions with
    ``min_count``. ``annotations_only`` takes sizes and boxes from the authors' JSON files and
    writes no masks. ``workers`` processes decode images and masks (default: one per processor).

    Finished mask files of the same pictures and masks, by checksum, are kept, so an interrupted run
    continues. index.json is replaced last; until then readers refuse masks that the old one does
    not describe. Images and masks that cannot be used are left out and listed in the
    index under "skipped"; "summary" counts them. A mask of another size than its image is resized
    to it. Boxes are those of the masks.

    Raises AnnotationError and PrepareError when there is nothing sound to prepare.
    """
    raw, out = Path(raw), Path(out)
    annotations = read_annotations(raw)
    regions = annotations.regions_of_images()
    jobs = [(image, regions.get(image, []))
            for images in annotations.splits.values() for image in images]
    _check_sources(raw, out, annotations, annotations_only)
    if annotations_only:
        records = _records_from_json(annotations, jobs)
    else:
        records = _records_from_files(raw, out, jobs, workers)

    index = _index(raw, out, annotations, jobs, records, annotations_only)
    expressions = _expressions(index, "trainval")
    if vocabulary is None:
        if not expressions:
            raise PrepareError(
                f"{raw}: no usable expression in train or val to build a vocabulary from; check "
                "the split lists, or give one with --vocabulary"
            )
        vocabulary = Vocabulary.build(expressions, min_count)
    index["summary"].update(_word_counts(index, vocabulary))
    vocabulary.save(out / "vocabulary.txt")
    write_text(out / "summary.txt", summary_text(index))
    write_text(out / "index.json", json.dumps(index, ensure_ascii=False))
    return index


def _check_sources(raw, out, annotations, annotations_only):
    named = [out.resolve().name] if annotations_only else [out.resolve().name, str(raw.resolve())]
    for name in named:  # index.json holds them
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise PrepareError(
                f"{name!r}: index.json cannot name a folder that is not UTF-8; rename it"
            ) from error
    if annotations_only:
        for name, content in ("imsize", annotations.sizes), ("bbox", annotations.boxes):
            if not content:
                raise PrepareError(
                    f"{raw}: no referit_{name}.json; without images and masks the sizes and boxes "
                    "come from the authors' JSON files"
                )
        return
    for folder in "images", "mask":
        if not (raw / folder).is_dir():
            raise PrepareError(
                f"{raw / folder}: no such folder; expected ReferIt's images/ and mask/ in {raw} "
                "(--annotations-only prepares expressions and counts without them)"
            )


def _records_from_json(annotations, jobs):
    """Make the records of ``prepare_image`` from the authors' JSON files alone."""
    records = {}
    for image, regions in jobs:
        if image not in annotations.sizes:
            records[image] = {"skipped": "no size in referit_imsize.json"}
            continue
        width, height = annotations.sizes[image]
        records[image] = {
            "file": f"{image}.jpg", "width": width, "height": height, "resized": [],
            "boxes": {r: annotations.boxes[r] for r in regions if r in annotations.boxes},
            "skipped_regions": {
                r: ("no box in referit_bbox.json", "") for r in regions
                if r not in annotations.boxes
            },
        }
    return records


def _records_from_files(raw, out, jobs, workers):
    """Run ``prepare_image`` over all images; also deletes mask files of images not in the set."""
    wanted = {f"{image}.npz" for image, _ in jobs}
    if (out / "masks").is_dir():
        for path in (out / "masks").glob("*.npz"):
            if path.name not in wanted and _is_ours(path):  # of an earlier split list
                path.unlink()
    records, told = {}, 0
    tasks = [(raw, out, image, regions) for image, regions in jobs]
    with Progress(len(jobs), "prepare", "image") as progress, \
            contextlib.closing(_prepare_images(tasks, workers or available_cores())) as stream:
        for (image, _), record in zip(jobs, stream):
            records[image] = record
            problems = [record["detail"]] if "skipped" in record else \
                [detail for _, detail in record["skipped_regions"].values()]
            for problem in problems[:MESSAGES - told]:
                progress.write(f"skipped: {problem}")
            told = min(MESSAGES, told + len(problems))
            progress.advance()
    return records


def _prepare_images(tasks, workers):
    """Yield ``prepare_image(*task)`` of each task in order, computed in ``workers`` processes."""
    if workers == 1:
        yield from (prepare_image(*task) for task in tasks)
        return

    def make(number):
        try:
            return prepare_image(*tasks[number])
        except OSError as error:  # such as a full disk: for the user, without a traceback
            return error

    with contextlib.closing(Prefetcher(make, workers, count=len(tasks))) as stream:
        try:
            for record in stream:
                if isinstance(record, OSError):
                    raise record
                yield record
        except WorkerError as error:
            raise PrepareError(
                f"{error}\nrun again, with fewer --workers if memory ran out; it continues"
            ) from error


def prepare_image(raw, out, image, regions):
    """Check one image, pack the masks of its ``regions`` into ``out``/masks, return its record.

    The record is ``{"file", "width", "height", "boxes": {region: box}, "resized": [region],
    "skipped_regions": {region: [reason, detail]}}``, or ``{"skipped": reason, "detail": text}``.
    """
    raw, target = Path(raw), Path(out) / "masks" / f"{image}.npz"
    path = next(
        (p for p in (raw / "images" / (image + ending) for ending in ENDINGS) if p.is_file()), None
    )
    if path is None:
        return {"skipped": "image missing", "detail": f"no file {raw / 'images' / image}.jpg"}
    sources = {region: raw / "mask" / f"{region}.mat" for region in regions}
    digest = sha256(path)
    fingerprint = [
        VERSION, path.name, digest,
        {r: sha256(source) if source.is_file() else None for r, source in sources.items()},
    ]
    kept = _kept_record(target, fingerprint)
    if kept:
        return kept
    if target.exists() and not _is_ours(target):
        raise PrepareError(
            f"{target}: not written by this tool, which would replace it; choose another folder "
            "with --out, or move the file"
        )
    try:
        height, width = read_image(path).shape[:2]
    except ImageError as error:
        return {"skipped": "image unreadable", "detail": str(error)}
    record = {"file": path.name, "sha256": digest, "width": width, "height": height,
              "boxes": {}, "resized": [], "skipped_regions": {}}
    masks = {}
    for region, source in sources.items():
        if not source.is_file():
            record["skipped_regions"][region] = ["mask missing", f"no file {source}"]
            continue
        try:
            mask = read_mat(source)
        except MaskError as error:
            record["skipped_regions"][region] = ["mask unreadable", str(error)]
            continue
        if mask.shape != (height, width):
            mask = fit(mask, height, width)
            record["resized"].append(region)
        box = bounding_box(mask)
        if box is None:
            record["skipped_regions"][region] = [
                "mask empty", f"{source} has no foreground (no zero in segimg_t)"
            ]
            continue
        masks[region], record["boxes"][region] = mask, box
    note = json.dumps({"fingerprint": fingerprint, "record": record})
    return {**record, "masks": save_masks(target, masks, (height, width), note)}


def _is_ours(path):
    """Say whether prepare wrote a file of masks: it has a note, or is what a killed run left.

    A damaged file counts as prepare's own where it begins as a .npz does.
    """
    if re.fullmatch(r"\.[^.]+-[a-z0-9_]{8}\.npz", path.name):  # atomic_path's temporary name
        return True
    if "fingerprint" in _note(path):
        return True
    try:
        with zipfile.ZipFile(path):
            return False  # a whole archive of something else
    except zipfile.BadZipFile:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"


def _kept_record(target, fingerprint):
    """Return the record in ``target`` when it is whole and made from these files, else None."""
    note = _note(target)
    if note.get("fingerprint") != fingerprint:
        return None
    try:
        return {**note["record"], "masks": digest_of(target)}
    except (OSError, MaskError):
        return None


def _note(path):
    """Return the note (dict) that prepare left in a file of masks; empty where there is none."""
    try:
        return json.loads(load_note(path))
    except (OSError, ValueError, MaskError):
        return {}


def _index(raw, out, annotations, jobs, records, annotations_only):
    split_of = {image: split for split, images in annotations.splits.items() for image in images}
    counts = {part: Counter() for part in annotations.splits}
    notes = Counter(annotations.counts)
    listed = annotations.listed
    if not annotations_only:
        listed = listed.union(path.stem for path in (raw / "mask").glob("*.mat"))
    notes["region without expression"] += len(listed - set(annotations.expressions))
    skipped = [{"what": place, "reason": reason} for place, reason in annotations.problems]
    images, regions = {}, {}

    def skip(what, reason, detail, part, expressions):
        notes[reason] += 1
        skipped.append({"what": what, "reason": reason, "detail": detail, "split": part,
                        "expressions": expressions})

    for image, wanted in jobs:
        record, part = records[image], split_of[image]
        count = counts[part]
        samples = sum(len(annotations.expressions[region]) for region in wanted)
        count["annotated expressions"] += samples
        notes["image without expression"] += not wanted
        if "skipped" in record:
            count["skipped images"] += 1
            count["skipped regions"] += len(wanted)
            count["skipped expressions"] += samples
            skip(f"image {image}", record["skipped"], record.get("detail", ""), part, samples)
            continue
        images[image] = {
            key: record[key] for key in ("file", "sha256", "masks", "width", "height")
            if key in record
        } | {"split": part}
        count["images"] += 1
        for region in wanted:
            expressions = annotations.expressions[region]
            if region in record["skipped_regions"]:
                reason, detail = record["skipped_regions"][region]
                count["skipped regions"] += 1
                count["skipped expressions"] += len(expressions)
                skip(f"region {region}", reason, detail, part, len(expressions))
                continue
            box = record["boxes"][region]
            notes["box other than in referit_bbox.json"] += \
                annotations.boxes.get(region, box) != box
            regions[region] = {"image": image, "box": box, "expressions": expressions}
            count["regions"] += 1
            count["expressions"] += len(expressions)
        notes["mask resized to its image"] += len(record["resized"])
        size = [record["width"], record["height"]]
        notes["size other than in referit_imsize.json"] += \
            annotations.sizes.get(image, size) != size
    if not regions:
        first = f"; the first problem: {skipped[0]['what']}: {skipped[0]['reason']}" \
            if skipped else ""
        raise PrepareError(f"{raw}: no region of any split could be used{first}")
    keys = ("images", "regions", "expressions",
            "skipped images", "skipped regions", "skipped expressions")
    return {
        "version": VERSION,
        "name": Path(out).resolve().name,
        "image_dir": None if annotations_only else _portable(raw / "images", out),
        "about": _about(raw, annotations),
        "summary": {
            "source": annotations.source,
            "annotations only": annotations_only,
            "splits": {
                split: {key: sum(counts[part][key] for part in parts) for key in keys}
                for split, parts in SPLITS.items()
            },
            "notes": {reason: number for reason, number in sorted(notes.items()) if number},
        },
        "skipped": skipped,
        "images": images,
        "regions": regions,
    }


def _about(raw, annotations):
    """Return the fields of :class:`objseg.data.dataset.About` that the raw folder tells.

    ReferIt is known by its test split. Drawn scenes have the settings.json of make_demo_data.py;
    any other folder may have an about.json such as {"expressions": "program"}. Raises PrepareError
    for another content.
    """
    test = "\n".join(annotations.splits.get("test", []))
    if hashlib.sha256(test.encode()).hexdigest() == REFERIT_TEST:
        return {"images": "photographs", "expressions": "people", "referit": True}
    settings = raw / "settings.json"
    if settings.is_file() and '"scenes"' in settings.read_text(encoding="utf-8"):
        return {"images": "drawn", "expressions": "program"}
    path = raw / "about.json"
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_bytes())
    except ValueError as error:
        raise PrepareError(f"{path}: not a JSON file ({error})") from error
    known = {"images": ("drawn", "photographs"), "expressions": ("people", "program")}
    if not isinstance(about, dict) or \
            any(value not in known.get(key, ()) for key, value in about.items()):
        raise PrepareError(f"{path}: {about}; expected some of {known}")
    return about


def _portable(folder, out):
    """Name ``folder`` relative to ``out`` when both move with the checkout, else absolutely."""
    folder, out = folder.resolve(), Path(out).resolve()
    if REPOSITORY in folder.parents and REPOSITORY in out.parents:
        return os.path.relpath(folder, out)
    return str(folder)


def _expressions(index, name):
    return [
        expression
        for region in index["regions"].values()
        if index["images"][region["image"]]["split"] in SPLITS[name]
        for expression in region["expressions"]
    ]


def _word_counts(index, vocabulary):
    """Count what the language encoder will meet."""
    expressions = [e for region in index["regions"].values() for e in region["expressions"]]
    tokens = [tokenize(expression) for expression in expressions]
    held_out = [t for expression in _expressions(index, "test") for t in tokenize(expression)]
    unknown = sum(token not in vocabulary for token in held_out)
    return {
        "longest expression": max(map(len, tokens)),
        f"over {MAX_WORDS} tokens": sum(len(split(e)) > MAX_WORDS for e in expressions),
        f"cut to {MAX_WORDS} tokens": sum(len(t) > MAX_WORDS for t in tokens),
        "without a token": sum(not t for t in tokens),
        "not ASCII": sum(not e.isascii() for e in expressions),
        "vocabulary": len(vocabulary),
        "test tokens": len(held_out),
        "unknown test tokens": unknown,
    }


def summary_text(index):
    """Lay out the counts of ``index`` as text for people."""
    summary = index["summary"]
    lines = [f"{index['name']}: expressions from {summary['source']}"]
    if summary["annotations only"]:
        lines.append("annotations only: no images and no masks")
    lines.append(f"{'split':10}{'images':>10}{'regions':>10}{'expressions':>13}"
                 f"{'skipped:  images':>20}{'regions':>10}{'expressions':>13}")
    for name, count in summary["splits"].items():
        lines.append(
            f"{name:10}{count['images']:10,}{count['regions']:10,}{count['expressions']:13,}"
            f"{count['skipped images']:20,}{count['skipped regions']:10,}"
            f"{count['skipped expressions']:13,}"
        )
    lines += [
        f"longest expression: {summary['longest expression']} tokens",
        f'over {MAX_WORDS} tokens: {summary[f"over {MAX_WORDS} tokens"]} (a final "." counted; '
        f"{summary[f'cut to {MAX_WORDS} tokens']} are cut once it is dropped)",
        f"not ASCII: {summary['not ASCII']}; without a token: {summary['without a token']}",
        f"vocabulary: {summary['vocabulary']:,} rows; unknown among the {summary['test tokens']:,} "
        f"test tokens: {summary['unknown test tokens']:,}",
    ]
    lines += [f"{reason}: {number:,}" for reason, number in summary["notes"].items()]
    return "\n".join(lines) + "\n"
