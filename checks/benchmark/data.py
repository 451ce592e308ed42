"""Data that every model can be trained on: a few scenes, their segments, and random features.

Features by the real trunk would take minutes and change nothing in what is measured.
"""

import numpy as np

from checks.gpu.scenes import make_scenes
from objseg.data.dataset import Dataset
from objseg.regions.features import RegionFeatures, features_key, save_features, write_index
from objseg.regions.making import Segments, make_proposals
from objseg.regions.proposals import PROPOSALS, candidates

TRAIN = 3
"""Scenes to train on."""


def make_data(folder, size, test):
    """Make a prepared data set in ``folder`` (Path) for a :class:`models.sizes.Size`.

    It has TRAIN scenes for training, with features/ and proposals/, and ``test`` others.
    """
    make_scenes(folder, train=TRAIN + 3, test=test)  # three become the val split
    dataset = Dataset(folder)
    images = dataset.images("train")
    make_proposals(dataset, images, [Segments(PROPOSALS)], folder / "proposals")
    random_features(dataset, images, folder / "features", *size.fc[1:])


def random_features(dataset, images, folder, fc7, fc8, seed=1):
    """Write features of a Dataset's ``images`` as tools/extract_features.py would, but random ones.

    ``fc7`` and ``fc8`` are their widths. The candidate boxes are those of the regions, then random
    ones.
    """
    random, keys = np.random.RandomState(seed), {}

    def draw(*shape):
        return random.randn(*shape).astype(np.float16)

    for image in images:
        truth = np.array([region.box for region in image.regions])
        corners = random.randint(0, (image.width, image.height), (PROPOSALS, 2, 2))
        others = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        boxes = candidates(np.vstack([truth, others]), image.width, image.height)
        keys[image.id] = features_key("random", boxes, image.regions)
        save_features(
            folder / f"{image.id}.h5",
            RegionFeatures(
                boxes, draw(len(boxes), fc7), draw(len(boxes), fc8), draw(fc7), image.width,
                image.height,
            ),
            [region.id for region in image.regions], draw(len(truth), fc8), keys[image.id],
        )
    write_index(folder, dataset.directory, keys, {}, fc7, fc8, "random")
