"""Helpers of the tests of SCRC and GroundeR: a tiny trunk, box lists, and an LSTM in numpy."""

import caffe
import numpy as np
import pytest

from objseg.data.images import read_image
from objseg.errors import UserError
from objseg.methods.grabcut import grabcut
from objseg.methods.method import Configuration
from objseg.methods.table1 import group_by_net, open_methods
from objseg.regions.boxes import box_mask
from objseg.regions.features import FeatureReader

TRUNK = """
name: "tiny trunk"
layer { name: "image" type: "Input" top: "image" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "fc7" type: "Convolution" bottom: "image" top: "fc7"
        convolution_param { num_output: 5 kernel_size: 8
                            weight_filler { type: "gaussian" std: 0.002 }
                            bias_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu7" type: "ReLU" bottom: "fc7" top: "fc7" }
layer { name: "fc8" type: "Convolution" bottom: "fc7" top: "fc8"
        convolution_param { num_output: 4 kernel_size: 1
                                   weight_filler { type: "gaussian" std: 1 } } }
layer { name: "fc7_features" type: "Power" bottom: "fc7" top: "fc7_features"
        power_param { scale: 0.5 } }
layer { name: "fc8_features" type: "Power" bottom: "fc8" top: "fc8_features"
        power_param { scale: 0.25 } }
"""
FC7, FC8, SIDE = 5, 4, 8


def write_trunk(folder, seed=1):
    """Write the net and random weights of a trunk of one layer; returns their paths."""
    deploy, weights = folder / "deploy_crops.prototxt", folder / f"trunk_{seed}.caffemodel"
    deploy.write_text(TRUNK)
    caffe.set_random_seed(seed)
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    return deploy, weights


def propose(dataset, folder, seed=0):
    """Write a list of 2 to 9 boxes of every image of ``dataset``; returns {image id: boxes}."""
    random, lists = np.random.RandomState(seed), {}
    (folder / "boxes").mkdir(parents=True, exist_ok=True)
    for split in ("trainval", "test"):
        for image in dataset.images(split):
            size = np.array([image.width, image.height])
            corners = np.sort(random.randint(0, size, (random.randint(1, 6), 2, 2)), axis=1)
            near = [np.add(region.box, random.randint(-2, 3, 4)) for region in image.regions[:3]]
            boxes = np.vstack([corners.reshape(-1, 4), *near])
            boxes = np.clip(boxes, 0, np.tile(size - 1, 2))
            np.savetxt(folder / "boxes" / f"{image.id}.txt", boxes, fmt="%d")
            lists[image.id] = boxes
    return lists


def randomize(net, seed=0, scale=0.5):
    """Give every blob of ``net`` normal random values; returns {layer: [arrays]}, float64."""
    random = np.random.RandomState(seed)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = random.normal(0, scale, blob.data.shape)
    return {name: [blob.data.astype(float) for blob in blobs] for name, blobs in net.params.items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(inputs, blobs, static=None):
    """States of an LSTM, a list of (H,), for a list of ``inputs`` (D,); gates i, f, o, g."""
    from_input, bias, *from_static, from_state = blobs
    state = cell = np.zeros(from_state.shape[1])
    states = []
    for x in inputs:
        gates = from_input @ x + bias + from_state @ state
        if static is not None:
            gates += from_static[0] @ static
        i, f, o, g = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(cell)
        states.append(state)
    return states


def check_best_box(model, scorer, dataset, folder, work):
    """The masks of a model's two rows are the rectangle of the box that ``scorer`` scores best, and
    the foreground in it.

    ``folder`` holds the features of the dataset's images, ``work`` the scorer's net.prototxt.
    """
    scorer.net.save(str(work / "trained.caffemodel"))
    scorer.vocabulary.save(work / "words.txt")
    files = work / "net.prototxt", work / "trained.caffemodel", work / "words.txt"
    rows = [
        Configuration(f"{model}-{row}", *files, features=folder) for row in ("bbox", "grabcut")
    ]
    assert group_by_net(rows) == [rows]
    masks_of, chosen, expressions = open_methods(rows), set(), ["red car", "tree left"]
    for image in dataset.images("train"):
        regions, pixels = FeatureReader(folder)(image.id), read_image(image.path)
        boxes = regions.boxes[scorer(regions, expressions).argmax(axis=1)]
        (rectangles, _), (foregrounds, _) = masks_of(pixels, expressions, image.id)
        for box, rectangle, foreground in zip(boxes, rectangles, foregrounds):
            chosen.add(tuple(box))
            np.testing.assert_array_equal(rectangle, box_mask(box, image.height, image.width))
            np.testing.assert_array_equal(foreground, grabcut(pixels, box)[0])
    assert len(chosen) > 1

    with open(work / "words.txt", "a") as stream:
        stream.write("more\n")
    with pytest.raises(UserError, match="words.txt: 9 words for an embedding of 8 rows"):
        open_methods(rows)
