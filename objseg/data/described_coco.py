"""One's own data: COCO's instance format, and a CSV file of expressions for its annotations."""

from collections.abc import Iterable
from math import isclose
from pathlib import Path, PurePosixPath

import numpy as np

from objseg.data.about import read_facts
from objseg.data.coco import CocoLayout, Instances
from objseg.data.raw import AnnotationError, Annotations, decode
from objseg.errors import UserError
from objseg.files import read_table

COLUMNS = ("annotation", "expression")
"""Columns that the file of expressions must have, in any order; it may have more."""

FRACTIONS = (0.8, 0.1, 0.1)
"""Shares of the described images in train, val and test, unless somebody asks for others."""


class DescribedCoco(CocoLayout):
    """The instances file ``path``, its pictures in ``images``, and a CSV file of ``expressions``.

    The CSV file has a line per expression, with the id of an annotation. ``splits`` is a folder of
    lists train.txt, val.txt and test.txt, a line per image: its id or file_name. Without it the
    images that are described are shuffled by ``seed`` and divided by ``fractions``. An image id is
    that of the file, a region id IMAGE_ANNOTATION. An about.json beside ``path`` tells facts, see
    :func:`objseg.data.about.read_facts`.

    Raises UserError, which says what was found and expected where.
    """

    def __init__(
        self, path: str | Path, images: Path, expressions: Path, splits: Path | None = None,
        fractions: tuple[float, float, float] = FRACTIONS, seed: int = 1,
    ):
        self.path, self.images = Path(path), Path(images)
        self.instances = Instances(self.path)
        self.about = read_facts(self.path.parent)
        self.annotations = Annotations(Path(expressions).name)
        self.masks = {}
        self._read_expressions(expressions)
        described = {self.instances.annotations[annotation]["image_id"]
                     for annotation in self.masks.values()}
        chosen = _read_lists(splits, self.instances) if splits else _divide(
            sorted(described), fractions, seed
        )
        self.pictures = {str(image): image for images in chosen.values() for image in images}
        self.annotations.splits = {split: list(map(str, images))
                                   for split, images in chosen.items()}
        for image in sorted(described - set(self.pictures.values())):
            self.annotations.pass_over(f"image {image}", "annotated image in no split")
        how = ["--splits", str(Path(splits).resolve())] if splits else [
            "--fractions", *map(str, fractions), "--seed", str(seed)
        ]
        self.recipe = {"tool": "prepare_coco", "options": [
            "--images", str(self.images.resolve()),
            "--expressions", str(Path(expressions).resolve()), *how,
        ]}

    def _read_expressions(self, path: Path) -> None:
        known = {str(annotation): annotation for annotation in self.instances.annotations}
        for line, row in read_table(path, COLUMNS, "the expressions"):
            annotation = known.get(row["annotation"].strip())
            if annotation is None:
                raise AnnotationError(
                    f"{path}, line {line}: annotation {row['annotation']!r}; expected the id of an "
                    f"annotation in {self.path}"
                )
            if not (expression := row["expression"].strip()):
                self.annotations.pass_over(f"{path.name}, line {line}", "blank expression")
                continue
            image = self.instances.annotations[annotation]["image_id"]
            region = f"{image}_{annotation}"
            self.masks[region] = annotation
            self.annotations.expressions.setdefault(region, []).append(expression)


def _divide(images: list[int], fractions: tuple[float, ...], seed: int) -> dict[str, list[int]]:
    """Shuffle ``images`` and divide them; a split of a fraction above 0 gets one image at least."""
    if min(fractions) < 0 or not isclose(sum(fractions), 1, abs_tol=1e-6):
        raise UserError(
            f"fractions {' '.join(map(str, fractions))}: expected three numbers of at least 0 that "
            "add up to 1, for train, val and test"
        )
    val, test = (max(1, round(len(images) * share)) if share else 0 for share in fractions[1:])
    if val + test > len(images) or fractions[0] and val + test == len(images):
        raise UserError(
            f"{len(images)} described images: too few to divide by "
            f"{' : '.join(map(str, fractions))}"
        )
    order = [images[n] for n in np.random.RandomState(seed).permutation(len(images))]
    return {"train": order[val + test:], "val": order[:val], "test": order[val:val + test]}


def _read_lists(folder: Path, instances: Instances) -> dict[str, list[int]]:
    """Read train.txt, val.txt and test.txt, as far as they are there."""
    by_name = {str(image): image for image in instances.images}
    for image, entry in instances.images.items():
        by_name.setdefault(str(PurePosixPath(entry["file_name"])), image)
    paths = [path for split in ("train", "val", "test")
             if (path := Path(folder) / f"{split}.txt").is_file()]
    if not paths:
        raise AnnotationError(f"{folder}: none of train.txt, val.txt and test.txt is there")
    place_of, lists = {}, {}
    for path in paths:
        lists[path.stem] = list(_read_list(path, by_name, place_of))
    return lists


def _read_list(path: Path, by_name: dict[str, int], place_of: dict[int, str]) -> Iterable[int]:
    """Iterate over the images of a list; ``place_of`` says where each was found, in all lists."""
    for number, line in enumerate(decode(path.read_bytes())[0].splitlines(), 1):
        place = f"{path}, line {number}"
        if not (name := line.strip()):
            continue
        image = by_name.get(name)
        if image is None:
            raise AnnotationError(
                f"{place}: {name!r}; expected the id or file_name of an image in the instances file"
            )
        if image in place_of:
            raise AnnotationError(
                f"{place}: image {name} is also in {place_of[image]}; expected each image once"
            )
        place_of[image] = place
        yield image
