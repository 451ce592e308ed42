"""A small prepared data set of synthetic scenes, made in seconds and without scipy."""

import json

import cv2
import numpy as np

from objseg.data.dataset import VERSION
from objseg.data.expressions import Vocabulary
from objseg.data.masks import bounding_box, save_masks
from objseg.files import write_text
from objseg.synthesis.referring import refer
from objseg.synthesis.scenes import draw_scene


def make_scenes(folder, train, test, seed=1):
    """Draw ``train`` + ``test`` scenes into ``folder`` (Path), as tools/prepare_referit.py would.

    Up to three of the training scenes are set aside as the val split.
    """
    (folder / "images").mkdir(parents=True)
    images, regions = {}, {}
    for number in range(train + test):
        rng = np.random.default_rng([seed, number])
        scene = draw_scene(rng)
        height, width = scene.labels.shape
        name, masks = str(number), {}
        for target, spoken in refer(scene, rng):
            region = f"{name}_{len(masks) + 1}"
            masks[region] = scene.mask(target)
            regions[region] = {
                "image": name, "box": bounding_box(masks[region]),
                "expressions": [expression for _, expression in spoken],
            }
        save_masks(folder / "masks" / f"{name}.npz", masks, (height, width))
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), scene.image)
        images[name] = {
            "file": f"{name}.jpg", "width": width, "height": height,
            "split": "train" if number < train else "test",
        }
    for name in list(images)[:min(3, train - 1)]:
        images[name]["split"] = "val"
    Vocabulary.build(e for r in regions.values() for e in r["expressions"]).save(
        folder / "vocabulary.txt"
    )
    write_text(folder / "index.json", json.dumps({
        "version": VERSION, "image_dir": "images", "summary": {}, "skipped": [],
        "images": images, "regions": regions,
    }))
