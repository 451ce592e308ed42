"""Weights for a slim net that answers at random, where a test needs no better ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.sizes import SIZES
from objseg.data.expressions import Vocabulary
from objseg.methods.configuration import conventional_prototxt
from objseg.methods.ours import CaffeSegmenter

RANDOM = np.random.RandomState(0)
PICTURE = cv2.GaussianBlur(RANDOM.randint(0, 256, (60, 90, 3)).astype(np.uint8), (0, 0), 2)


def random_segmenter() -> CaffeSegmenter:
    """Return one that puts half of PICTURE, taken as RGB, into the mask of "sky"."""
    caffe = pytest.importorskip("caffe")
    deploy = conventional_prototxt(SIZES["slim"]) / "deploy_highres.prototxt"
    caffe.set_random_seed(5)
    segmenter = CaffeSegmenter(deploy, None, Vocabulary.build(["red car left sky"], min_count=1))
    (response,) = segmenter.responses(PICTURE[..., ::-1], ["sky"])
    segmenter.net.params["mlp_l2"][1].data[...] -= np.median(response)
    return segmenter


def save_weights(segmenter: CaffeSegmenter, folder: Path) -> Path:
    """Write its weights, with the vocabulary beside them, as training does; returns their file."""
    segmenter.vocabulary.save(folder / "highres_vocabulary.txt")
    segmenter.net.save(str(folder / "random.caffemodel"))
    return folder / "random.caffemodel"
