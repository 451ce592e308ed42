"""RefCOCO, RefCOCO+, RefCOCOg and RefClef as the `refer` toolbox has them on disk.

The layout is that of https://github.com/lichengunc/refer: DATASET/refs(SPLIT_BY).p, a pickled list
of refs, DATASET/instances.json, and the pictures in images/.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from objseg.data.about import About
from objseg.data.coco import CocoLayout, Instances
from objseg.data.plain_pickle import read_pickle, text
from objseg.data.raw import AnnotationError, Annotations
from objseg.data.refer_counts import Count, Counts, is_published

COCO, SAIAPR = "images/mscoco/images/train2014", "images/saiapr_tc-12"

DATASETS = {
    "refcoco": (COCO, ("unc", "google")), "refcoco+": (COCO, ("unc",)),
    "refcocog": (COCO, ("umd", "google")), "refclef": (SAIAPR, ("unc", "berkeley")),
}
"""Of each data set, the folder of its pictures and the ways it is split."""

_SPLIT = re.compile("train|val|test[A-Z]*")


class Refer(CocoLayout):
    """A data set of the `refer` toolbox in the folder ``data``, with other pictures in ``images``.

    An image id is COCO's, a region id IMAGE_REF of the ids of image and ref. An image that has refs
    in several splits, as some ways of splitting have it, is as many images: their ids end in the
    name of the split, such as 123-val. ``counts`` says what the files hold, {split: Count}, and
    ``benchmark`` names data set and splits as the published counts and results do.

    Raises AnnotationError when a file is missing or broken, or there is no such way to split.
    """

    def __init__(self, data: str | Path, dataset: str, split_by: str, images: Path | None = None):
        folder, ways = DATASETS[dataset]
        if split_by not in ways:
            raise AnnotationError(
                f"{dataset} split by {split_by}: no such files; expected {' or '.join(ways)}"
            )
        self.path = Path(data)
        self.images = images or self.path / folder
        self.recipe = {"tool": "prepare_refer",
                       "options": ["--dataset", dataset, "--split-by", split_by]}
        if images:
            self.recipe["options"] += ["--images", str(images.resolve())]
        self.refs = self.path / dataset / f"refs({split_by}).p"
        if not self.refs.is_file():
            raise AnnotationError(
                f"{self.refs} does not exist; expected in {self.path} the folder {dataset} of the "
                "refer toolbox, see https://github.com/lichengunc/refer"
            )
        refs = [_ref(entry, f"{self.refs}, ref {number}")
                for number, entry in enumerate(_list(read_pickle(self.refs), str(self.refs)), 1)]
        self.instances = Instances(self.path / dataset / "instances.json")
        self.annotations = Annotations(f"{dataset}/{self.refs.name}")
        self.pictures, self.masks = {}, {}
        self._add(self._sound(refs))
        self.counts = self._count()
        self.benchmark = f"{dataset} ({split_by})"
        known = is_published(self.benchmark, self.counts)
        self.about = About("photographs", "people", benchmark=self.benchmark if known else None)

    def _sound(self, refs: list[dict]) -> list[dict]:
        """Return the refs that fit the instances and each other; notes the others."""
        sound = {}
        for ref in refs:
            annotation = self.instances.annotations.get(ref["ann_id"])
            if annotation is None:
                problem = "ref of an unknown annotation"
            elif annotation["image_id"] != ref["image_id"]:
                problem = "ref of another image than its annotation"
            elif not _SPLIT.fullmatch(ref["split"]):
                problem = "ref of an unknown split"
            elif ref["ref_id"] in sound:
                problem = "repeated ref"
            else:
                sound[ref["ref_id"]] = ref
                continue
            self.annotations.pass_over(f"{self.refs.name}, ref {ref['ref_id']}", problem)
        return list(sound.values())

    def _add(self, refs: list[dict]) -> None:
        """Fill pictures, masks and annotations with ``refs``."""
        splits = Counter(image for image, _ in {(ref["image_id"], ref["split"]) for ref in refs})
        for ref in refs:
            image = str(ref["image_id"])
            if splits[ref["image_id"]] > 1:
                image += f"-{ref['split']}"
            region = f"{image}_{ref['ref_id']}"
            if image not in self.pictures:
                self.annotations.splits.setdefault(ref["split"], []).append(image)
            self.pictures[image], self.masks[region] = ref["image_id"], ref["ann_id"]
            expressions = [expression for expression in ref["expressions"] if expression]
            for _ in range(len(ref["expressions"]) - len(expressions)):
                self.annotations.pass_over(f"{self.refs.name}, ref {ref['ref_id']}",
                                           "blank expression")
            if expressions:
                self.annotations.expressions[region] = expressions

    def _count(self) -> Counts:
        regions = self.annotations.regions_by_image()
        return {
            split: Count(
                sum(len(regions[image]) for image in images), len(images),
                sum(len(self.annotations.expressions[region])
                    for image in images for region in regions[image]),
            )
            for split, images in self.annotations.splits.items()
        }


def _ref(entry: Any, place: str) -> dict:
    """Return the ids, the split and the expressions of an entry of a refs file.

    An expression is the sentence as the toolbox cleaned it; as it was typed where that left
    nothing. Raises AnnotationError for an entry of another form.
    """
    ids = {key: _field(entry, key, int, place) for key in ("ref_id", "ann_id", "image_id")}
    expressions = []
    for sentence in _list(_field(entry, "sentences", list, place), place):
        cleaned = text(_field(sentence, "sent", str, f"{place}, a sentence")).strip()
        typed = sentence.get("raw")
        expressions.append(
            cleaned or (text(typed).strip() if isinstance(typed, str) else "")
        )
    return {**ids, "split": text(_field(entry, "split", str, place)), "expressions": expressions}


def _field(entry: Any, key: str, kind: type, place: str) -> Any:
    value = entry.get(key) if isinstance(entry, dict) else None
    if type(value) is not kind:
        found = "nothing" if value is None else type(value).__name__
        raise AnnotationError(f"{place}: {key} is {found}; expected {kind.__name__}")
    return value


def _list(value: Any, place: str) -> list:
    if not isinstance(value, list):
        raise AnnotationError(f"{place}: holds a {type(value).__name__}; expected a list")
    return value
