"""ReferIt's annotations on disk: split lists, RealGames.txt and the authors' JSON files."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from objseg.errors import UserError

FOLDERS = ("", "split", "data")
"""Where below the raw folder annotation files are looked for."""

GAMES = "RealGames.txt"

_REGION = r"(?P<region>[^/\\~]+_\d+)"
_NUMBER = r"\s*[-+.\d]+(?:[eE][-+]?\d+)?\s*"
# an expression may hold a "~" itself
_GAME = re.compile(rf"{_REGION}\.jpg~(?P<expression>.*)~{_NUMBER}~{_NUMBER}")


class AnnotationError(UserError):
    """Annotations that cannot be used as a whole; says which file, what was found and expected."""


@dataclass
class Annotations:
    """Splits and expressions; of ReferIt, the content of its text files.

    ``source`` names the files that the expressions come from. ``splits`` is
    ``{"train" | "val" | "test…": [image id]}``; ``expressions`` ``{region id: [str]}``, where a
    region id is "<image id>_<number>"; ``boxes`` ``{region id: [xmin, ymin, xmax, ymax]}`` in
    inclusive pixels and ``sizes`` ``{image id: [width, height]}``, both empty without JSON files.
    ``problems`` lists (place, reason) of each entry passed over and ``counts`` counts them by
    reason.
    """

    source: str = ""
    splits: dict[str, list[str]] = field(default_factory=dict)
    expressions: dict[str, list[str]] = field(default_factory=dict)
    boxes: dict[str, list[int]] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def pass_over(self, place: str, reason: str) -> None:
        """Note that the entry at ``place`` is left out for ``reason``."""
        self.problems.append((place, reason))
        self.counts[reason] += 1

    def regions_by_image(self) -> dict[str, list[str]]:
        """Map each image of the splits to its regions that have expressions, in numeric order."""
        regions = {image: [] for images in self.splits.values() for image in images}
        for region in sorted(self.expressions, key=lambda region: int(region.rsplit("_", 1)[1])):
            if image_of(region) in regions:
                regions[image_of(region)].append(region)
        return regions


def image_of(region: str) -> str:
    """Return the image id of a region id: "8756" of "8756_2"."""
    return region.rsplit("_", 1)[0]


def read_annotations(raw: str | Path) -> Annotations:
    """Read the Annotations below the folder ``raw``.

    The split lists ``referit_{train,val,test}_imlist.txt`` are required, one of them at least. The
    authors' ``referit_query_*.json`` give the expressions when present, else ``RealGames.txt``.
    Single bad entries are passed over and noted. Raises AnnotationError when a file is missing or
    broken as a whole, or an image is in two splits.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise AnnotationError(f"{raw}: no such folder; expected ReferIt's files there")
    annotations = Annotations()
    _read_splits(raw, annotations)
    names = ("train", "val", "trainval", "test", "all")
    queries = [path for name in names if (path := _find(raw, f"referit_query_{name}.json"))]
    games = _find(raw, GAMES)
    if queries:
        annotations.source = "referit_query_*.json"
        _read_queries(queries, annotations)
    elif games:
        annotations.source = GAMES
        _read_games(games, annotations)
    else:
        raise AnnotationError(f"{raw}: neither {GAMES} nor referit_query_*.json is there")
    if boxes := _find(raw, "referit_bbox.json"):
        annotations.boxes = _read_numbers(boxes, 4)
    if sizes := _find(raw, "referit_imsize.json"):
        annotations.sizes = {_stem(name): size for name, size in _read_numbers(sizes, 2).items()}
    known = {image for images in annotations.splits.values() for image in images}
    for image in sorted(set(map(image_of, annotations.expressions)) - known):
        annotations.pass_over(f"image {image}", "annotated image in no split")
    return annotations


def decode(data: bytes) -> tuple[str, bool]:
    """Decode UTF-8, or Latin-1 where it is not that; returns the text, and whether it was UTF-8."""
    try:
        return data.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return data.decode("latin-1"), False


def _find(raw, name):
    """Return the path of the file ``name`` in the first of FOLDERS that holds it, or None."""
    paths = (raw / folder / name for folder in FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _stem(name):
    """Drop the ending of an image's file name, which some lists have and some have not."""
    return name[:-4] if name.lower().endswith(".jpg") else name


def _read_splits(raw, annotations):
    lists = {}
    for split in ("train", "val", "trainval", "test"):
        if path := _find(raw, f"referit_{split}_imlist.txt"):
            lists[split] = _read_list(path, annotations)
    if "train" not in lists and "trainval" in lists:
        held_out = set(lists.get("val", ()))
        lists["train"] = [image for image in lists["trainval"] if image not in held_out]
    if not lists:
        places = ", ".join(str(raw / folder) for folder in FOLDERS)
        raise AnnotationError(
            f"{raw}: no split list referit_{{train,val,test}}_imlist.txt in {places}"
        )
    annotations.splits = {split: lists.get(split, []) for split in ("train", "val", "test")}
    seen = {}
    for split, images in annotations.splits.items():
        for image in images:
            if image in seen:
                raise AnnotationError(
                    f"{raw}: image {image} is in the {seen[image]} list and in the {split} list; "
                    "expected each image in one split"
                )
            seen[image] = split
    union = set(annotations.splits["train"]) | set(annotations.splits["val"])
    if "trainval" in lists and set(lists["trainval"]) != union:
        odd = sorted(set(lists["trainval"]) ^ union)
        raise AnnotationError(
            f"{raw}: the trainval list is not the train list and the val list together; "
            f"{len(odd)} images differ, the first is {odd[0]}"
        )


def _read_list(path, annotations):
    images = {}
    for number, line in enumerate(decode(path.read_bytes())[0].split("\n"), 1):
        image = _stem(line.strip())
        if not image:
            continue
        if "/" in image or "\\" in image or image in (".", ".."):
            raise AnnotationError(f"{path}, line {number}: {image!r}, expected an image id")
        if image in images:
            annotations.pass_over(f"{path.name}, line {number}", "repeated line of a split list")
        images[image] = None
    return list(images)


def _read_games(path, annotations):
    """Read lines ``<region>.jpg~<expression>~<x>~<y>``; the click (x, y) is dropped."""
    lines = set()
    for number, data in enumerate(path.read_bytes().split(b"\n"), 1):
        place = f"{path.name}, line {number}"
        line, utf8 = decode(data)
        line = line.strip()
        if not line:
            continue
        if not utf8:
            annotations.counts["line read as Latin-1"] += 1
        game = _GAME.fullmatch(line)
        if not game:
            annotations.pass_over(place, "malformed line")
        elif not (expression := game["expression"].strip()):
            annotations.pass_over(place, "blank expression")
        elif line in lines:
            # The same words with another click are another player's, and count; the same click
            # to the last digit is the same game.
            annotations.pass_over(place, "repeated line")
        else:
            lines.add(line)
            annotations.expressions.setdefault(game["region"], []).append(expression)


def _read_queries(paths, annotations):
    seen = set()  # a region may be in several files
    for path in paths:
        for region, expressions in _read_texts(path).items():
            if not re.fullmatch(_REGION, region):
                raise AnnotationError(f"{path}: region {region!r}, expected <image id>_<number>")
            whole = [_whole(expression) for expression in expressions]
            kept = [expression.strip() for expression in whole if expression.strip()]
            if annotations.expressions.get(region, kept) != kept:
                raise AnnotationError(
                    f"{path}: region {region} has other expressions than in another "
                    "referit_query_*.json; the files are not of one release"
                )
            if region not in seen:
                if whole != expressions:
                    annotations.counts["half a character replaced"] += 1
                for _ in range(len(expressions) - len(kept)):
                    annotations.pass_over(f"{path.name}, region {region}", "blank expression")
            seen.add(region)
            if kept:
                annotations.expressions[region] = kept


def _whole(text):
    """Replace what JSON can write and no text can hold, half of a surrogate pair, by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read_texts(path):
    """Read ``{name: [str]}``."""
    content = read_json(path)
    for name, texts in content.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise AnnotationError(f"{path}: {name}: expected a list of texts")
    return content


def _read_numbers(path, count):
    """Read ``{name: [count numbers]}``."""
    content = read_json(path)
    for name, numbers in content.items():
        if not isinstance(numbers, list) or len(numbers) != count or \
                not all(isinstance(n, (int, float)) and isfinite(n) for n in numbers):
            raise AnnotationError(f"{path}: {name}: {numbers!r}, expected {count} numbers")
    return {name: [int(number) for number in numbers] for name, numbers in content.items()}


def read_json(path: Path) -> dict:
    """Read a JSON file that holds an object; raises AnnotationError for another one."""
    try:
        content = json.loads(decode(path.read_bytes())[0])
    except ValueError as error:
        raise AnnotationError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: holds a {type(content).__name__}, expected an object")
    return content
