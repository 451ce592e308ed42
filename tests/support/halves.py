"""A small data set whose regions are halves of noise images, and its evaluation."""

import json
from pathlib import Path

import cv2
import numpy as np

from objseg.data.dataset import VERSION, Dataset
from objseg.data.expressions import Vocabulary
from objseg.data.masks import save_masks
from objseg.evaluation.evaluate import Evaluation, Request, evaluate
from objseg.files import sha256
from objseg.methods.method import Configuration

EXPRESSIONS = ("left half", "the <b>top</b> & more", "sky", "!!")
WIDTH = 60


def make_dataset(directory: Path, count: int = 5, right: tuple = (), **about) -> Dataset:
    """Write images of 60 x 40 pixels, each 4 pixels higher than the last; returns a Dataset.

    The left half has three expressions, the top half one, the right half those of ``right``.
    """
    images, regions, random = {}, {}, np.random.RandomState(0)
    (directory / "raw").mkdir(parents=True)
    for n in range(count):
        height = 40 + 4 * n
        image = random.randint(0, 256, (height, WIDTH, 3)).astype(np.uint8)
        cv2.imwrite(str(directory / "raw" / f"{n}.jpg"), image)
        left, top = np.zeros((2, height, WIDTH), bool)
        left[:, : WIDTH // 2] = top[: height // 2] = True
        halves = {"1": (left, EXPRESSIONS[:3]), "2": (top, EXPRESSIONS[3:]), "3": (~left, right)}
        halves = {f"{n}_{name}": half for name, half in halves.items() if half[1]}
        masks = save_masks(
            directory / "masks" / f"{n}.npz",
            {region: mask for region, (mask, _) in halves.items()}, (height, WIDTH),
        )
        images[str(n)] = {
            "file": f"{n}.jpg", "width": WIDTH, "height": height, "split": "test",
            "sha256": sha256(directory / "raw" / f"{n}.jpg"), "masks": masks,
        }
        for region, (_, expressions) in halves.items():
            regions[region] = {"image": str(n), "box": [0, 0, 1, 1], "expressions": expressions}
    words = directory / "vocabulary.txt"
    Vocabulary.build(EXPRESSIONS, min_count=1).save(words)
    index = {"version": VERSION, "image_dir": "raw", "images": images, "regions": regions,
             "about": about, "vocabulary": sha256(words)}
    (directory / "index.json").write_text(json.dumps(index))
    return Dataset(directory)


def evaluate_all(
    dataset: Dataset, folder: Path, *names: str, limit: int | None = None, workers: int = 1
) -> list[list[Evaluation]]:
    """Evaluate methods on the test split; returns what evaluate() does."""
    configurations = [Configuration(name) for name in names]
    return evaluate(Request(dataset, limit=limit), configurations, folder, workers)


def run(dataset: Dataset, folder: Path, name: str = "fake", **settings) -> Evaluation:
    """Evaluate one method by :func:`evaluate_all`; returns its Evaluation."""
    ((evaluation,),) = evaluate_all(dataset, folder, name, **settings)
    return evaluation
