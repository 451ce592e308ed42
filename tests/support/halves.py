"""A small data set whose regions are halves of noise images, and its evaluation."""

import json

import cv2
import numpy as np

from objseg.data.dataset import Dataset
from objseg.data.expressions import Vocabulary
from objseg.data.masks import save_masks
from objseg.evaluation.evaluate import evaluate
from objseg.methods.table1 import Configuration

EXPRESSIONS = ("left half", "the <b>top</b> & more", "sky", "!!")
WIDTH = 60


def make_dataset(directory, count=5, right=(), **about):
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
        save_masks(
            directory / "masks" / f"{n}.npz",
            {region: mask for region, (mask, _) in halves.items()}, (height, WIDTH),
        )
        images[str(n)] = {"file": f"{n}.jpg", "width": WIDTH, "height": height, "split": "test"}
        for region, (_, expressions) in halves.items():
            regions[region] = {"image": str(n), "box": [0, 0, 1, 1], "expressions": expressions}
    Vocabulary.build(EXPRESSIONS, min_count=1).save(directory / "vocabulary.txt")
    index = {"version": 2, "image_dir": "raw", "images": images, "regions": regions,
             "about": about}
    (directory / "index.json").write_text(json.dumps({**index, "summary": {}, "skipped": []}))
    return Dataset(directory)


def run(dataset, folder, name="fake", unreadable=None, limit=None, workers=1):
    """Evaluate one method on the test split."""
    (result,) = evaluate(
        dataset, "test", [Configuration(name)], folder, dataset.samples("test")[:limit],
        {} if unreadable is None else unreadable, workers,
    )
    return result
