"""One image and the masks of its regions: from raw data to a file of the prepared set."""

import json
import re
import zipfile
from pathlib import Path

from objseg.data.images import ImageError, read_image
from objseg.data.layout import Layout, PrepareError
from objseg.data.masks import MaskError, bounding_box, load_note, resize_nearest, save_masks
from objseg.files import sha256

FORMAT = 3
"""Raise it when the same raw files come to give other packed masks."""


def pack_image(layout: Layout, out: Path, image: str, regions: list[str]) -> dict:
    """Check one image and pack the masks of its ``regions`` into ``out``/masks.

    Returns a record: ``image`` is the entry for index.json without its split, or None when the
    image cannot be used; ``boxes`` maps region ids to boxes, inclusive pixels; ``resized`` counts
    masks of another size than the image; ``problems`` maps the id of the image or region that
    cannot be used to [reason, detail]. A packed file is kept when it was made from the same
    content. Raises PrepareError where it would replace a file of somebody else's.
    """
    path = layout.picture(image)
    if not path.is_file():
        return _unusable(image, "image missing", f"no file {path}")
    target = out / "masks" / f"{image}.npz"
    digest, name = sha256(path), path.relative_to(layout.images).as_posix()
    sources = {region: layout.mask_digest(region) for region in regions}
    fingerprint = [FORMAT, name, digest, sources]
    note, packed = _read_note(target)
    if note.get("fingerprint") == fingerprint:
        record = note["record"]
    else:
        if target.exists() and not is_ours(target):
            raise PrepareError(
                f"{target}: not written by this tool, which would replace it; choose another "
                "folder with --out, or move the file"
            )
        try:
            height, width = read_image(path).shape[:2]
        except ImageError as error:
            return _unusable(image, "image unreadable", str(error))
        entry = {"file": name, "sha256": digest, "width": width, "height": height}
        record, masks = _read_regions(layout, sources, height, width)
        record["image"] = entry
        note = json.dumps({"fingerprint": fingerprint, "record": record})
        packed = save_masks(target, masks, (height, width), note)
    record["image"]["masks"] = packed
    return record


def _unusable(image: str, reason: str, detail: str) -> dict:
    return {"image": None, "boxes": {}, "resized": 0, "problems": {image: [reason, detail]}}


def _read_regions(
    layout: Layout, sources: dict[str, str | None], height: int, width: int
) -> tuple[dict, dict]:
    """Read the masks of the regions ``sources``, {region id: digest, None where there is no mask}.

    Returns the record without its ``image``, and the masks that are usable. A mask of another size
    than the image's is resized to it.
    """
    record, masks = {"boxes": {}, "resized": 0, "problems": {}}, {}
    for region, source in sources.items():
        if source is None:
            record["problems"][region] = ["mask missing", f"no file {layout.mask_place(region)}"]
            continue
        try:
            mask = layout.mask(region)
        except MaskError as error:
            record["problems"][region] = ["mask unreadable", str(error)]
            continue
        if mask.shape != (height, width):
            mask = resize_nearest(mask, height, width)
            record["resized"] += 1
        box = bounding_box(mask)
        if box is None:
            record["problems"][region] = \
                ["mask empty", f"{layout.mask_place(region)} marks no pixel"]
            continue
        masks[region], record["boxes"][region] = mask, box
    return record, masks


def is_ours(path: Path) -> bool:
    """Say whether prepare wrote a file of masks: it has a note, or is what a killed run left.

    A damaged file counts as prepare's own where it begins as a .npz does.
    """
    if re.fullmatch(r"\.[^.]+-[a-z0-9_]{8}\.npz", path.name):  # atomic_path's temporary name
        return True
    if _read_note(path)[0]:
        return True
    if zipfile.is_zipfile(path):  # a whole archive of something else
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _read_note(path: Path) -> tuple[dict, str]:
    """Return the note that is left in a file of masks, {} where there is none, and its digest."""
    try:
        note, digest = load_note(path)
        note = json.loads(note)
    except (OSError, ValueError, MaskError):
        return {}, ""
    return (note, digest) if isinstance(note, dict) and "fingerprint" in note else ({}, "")
