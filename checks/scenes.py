"""A small prepared data set of synthetic scenes, made in seconds, that every model can train on."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from checks import nets
from objseg.caffe.weights import read_net
from objseg.data.dataset import Dataset
from objseg.data.masks import save_masks
from objseg.data.prepare import prepare
from objseg.regions.extraction import save_features, write_index
from objseg.regions.features import RegionFeatures, features_key
from objseg.regions.proposals import PROPOSALS, candidates
from objseg.regions.segments import segments_file
from objseg.synthesis.demo_data import make_data


def make_scenes(folder: Path, train: int, test: int) -> Dataset:
    """Draw ``train`` + 1 (val) + ``test`` scenes and prepare them in ``folder``."""
    raw = folder / "raw"
    make_data(raw, {"train": train, "val": 1, "test": test}, seed=1, mode="referring", workers=1)
    prepare(raw, folder, min_count=1, workers=1)
    return Dataset(folder)


def add_regions(dataset: Dataset, sizes: Iterable[str]) -> None:
    """Write segment proposals and features of the train split into the data set's folder.

    The features are random, of the widths of ``sizes`` (paper, slim): the trunk's would take
    minutes and change nothing in the work or its time. The proposals are the regions' own masks.
    """
    folder = dataset.directory
    for image in dataset.images("train"):
        masks = dataset.masks(image).values()
        save_masks(
            segments_file(folder / "proposals" / "segments", image.id),
            {str(rank): mask for rank, mask in enumerate(masks)}, (image.height, image.width),
        )
    for size in sizes:
        file = nets.path("deploy", "crops", size)
        widths = {layer.name: layer.convolution_param.num_output for layer in read_net(file).layer}
        _random_features(dataset, folder / "features" / file.parent.name, widths)


def _random_features(dataset, folder, widths):
    random, keys, fc7, fc8 = np.random.RandomState(1), {}, widths["fc7"], widths["fc8"]

    def draw(*shape):
        return random.randn(*shape).astype(np.float16)

    for image in dataset.images("train"):
        truth = np.array([region.box for region in image.regions])
        corners = random.randint(0, (image.width, image.height), (PROPOSALS, 2, 2))
        others = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        boxes = candidates(np.vstack([truth, others]), image.width, image.height)
        keys[image.id] = features_key("random", boxes, image)
        save_features(
            folder / f"{image.id}.h5",
            RegionFeatures(boxes, draw(len(boxes), fc7), draw(len(boxes), fc8), draw(fc7),
                           image.width, image.height),
            [region.id for region in image.regions], draw(len(truth), fc8), keys[image.id],
        )
    write_index(folder, dataset, keys, fc7, fc8, "random")
