"""GroundeR: which box is right, its batches, and its scores against numpy."""

import re
from dataclasses import replace
from types import SimpleNamespace

import caffe
import numpy as np
import pytest
from scipy.special import log_softmax
from support.tiny_trunk import FC7, FC8, check_best_box, lstm, propose, randomize, write_trunk

from models import grounder
from models.sizes import SLIM
from objseg.batches.grounder import GrounderBatchMaker, GrounderSettings
from objseg.data.dataset import Dataset
from objseg.data.expressions import MAX_WORDS, SPECIALS, Vocabulary
from objseg.errors import UserError
from objseg.methods.grounder import GrounderScorer
from objseg.regions.boxes import box_mask, spatial_features
from objseg.regions.extraction import extract
from objseg.regions.features import FeatureReader, RegionFeatures
from objseg.regions.proposals import PROPOSALS

RANDOM = np.random.RandomState(0)
WORDS = Vocabulary([*SPECIALS, "red", "car", "left", "tree"])
SIZE = replace(SLIM, fc=(FC7, FC7, FC8), vocabulary=len(WORDS), phrase=3, attention=4)
EPSILON = 1e-5  # Caffe's BatchNorm adds it to the variance


@pytest.fixture(scope="module")
def features(scenes, tmp_path_factory):
    """Features of the scenes' boxes by a tiny trunk; (Dataset, folder, {image: boxes})."""
    folder, dataset = tmp_path_factory.mktemp("grounder"), Dataset(scenes)
    lists = propose(dataset, folder / "proposals")
    extract(dataset, folder / "proposals", *write_trunk(folder), folder / "features")
    return dataset, folder / "features", lists


def settings(made, **changes):
    dataset, folder, _ = made
    values = dict(data=str(dataset.directory), split="train", batch=7, words=MAX_WORDS,
                  vocabulary=200, features=str(folder), candidates=6)
    return GrounderSettings(**{**values, **changes})


def load(proto, folder):
    path = folder / "net.prototxt"
    path.write_text(str(proto))
    return caffe.Net(str(path), caffe.TEST)


def attention(blobs, features, tokens):
    """Scores (B,) of normalised ``features`` (B, D) of boxes for a phrase of ``tokens``."""
    states = lstm(blobs["embedding"][0][tokens], blobs["lstm_phrase"])
    sides = ((features, "region_attention"), (states[-1], "phrase_attention"))
    hidden = sum(side @ blobs[name][0].T + blobs[name][1] for side, name in sides)
    weights, bias = blobs["pair_scores"]
    return np.maximum(hidden, 0) @ weights[0] + bias


def normalized(blobs, features):
    mean, variance, scale = blobs["features_normalized"]
    return (features - mean / scale) / np.sqrt(variance / scale + EPSILON)


# ---- batches ----

def test_the_label_is_the_box_of_best_overlap(features):
    dataset, _, lists = features
    maker = GrounderBatchMaker(settings(features, candidates=PROPOSALS))
    kept = {(sample.region.id, sample.expression) for sample in maker.samples}
    left_out = 0
    for image, region, expression, _ in dataset.samples("train"):
        masks = [box_mask(box, image.height, image.width) for box in lists[image.id]]
        truth = box_mask(region.box, image.height, image.width)
        overlap = np.array([(m & truth).sum() / (m | truth).sum() for m in masks])
        assert ((region.id, expression) in kept) == (overlap.max() >= 0.5)
        if overlap.max() >= 0.5:
            assert maker.labels[region.id] == overlap.argmax()
        else:
            left_out += 1
    assert 0 < left_out < len(dataset.samples("train"))
    (message,) = maker.left_out
    assert message.startswith(f"{left_out} of {len(dataset.samples('train'))} samples")


def test_a_batch_holds_its_samples_with_boxes_repeated(features):
    dataset, folder, lists = features
    maker, reader = GrounderBatchMaker(settings(features)), FeatureReader(folder)
    batch = maker(2)
    assert {name: batch[name].shape for name in maker.shapes} == maker.shapes
    assert batch["sample_index"].tolist() == [n for n in range(7) for _ in range(6)]
    counts = set()
    for n in range(7):
        image, region, expression, _ = maker.samples[maker.order.group(14 + n)[0]]
        boxes, fc7 = lists[image.id], reader(image.id).fc7
        counts.add(len(boxes) < 6)
        spatial = spatial_features(boxes, image.width, image.height)
        for b, row in enumerate(batch["features"][6 * n:6 * n + 6]):
            again = b % len(boxes)
            np.testing.assert_array_equal(row, np.hstack([fc7[again], spatial[again]]))
        assert batch["label"][n] == maker.labels[region.id] < min(6, len(boxes))
        tokens, continuation = dataset.vocabulary.encode(expression, MAX_WORDS)
        np.testing.assert_array_equal(batch["tokens"][:, n], tokens)
        np.testing.assert_array_equal(batch["continuation"][:, n], continuation)
    assert counts == {True, False}


def test_proposals_that_miss_every_region_are_refused(features, tmp_path):
    dataset = features[0]
    (tmp_path / "boxes").mkdir()
    for image in dataset.all_images():
        (tmp_path / "boxes" / f"{image.id}.txt").write_text("0 0 0 0\n")
    extract(dataset, tmp_path, *write_trunk(tmp_path), tmp_path / "f")
    with pytest.raises(UserError, match="not one of the .* samples .* no box of IoU 0.5"):
        GrounderBatchMaker(settings(features, features=str(tmp_path / "f")))


@pytest.mark.parametrize("changes, message", [
    (dict(vocabulary=5), "larger than the net's embedding"),
    (dict(features="/nowhere"), "/nowhere/index.json does not exist.*extract_features.py"),
    (dict(candidates=0), "candidates is 0"),
])
def test_settings_that_cannot_be_used(features, changes, message):
    with pytest.raises(UserError, match=message):
        GrounderBatchMaker(settings(features, **changes))


# ---- scores ----

def test_the_scores_by_hand(tmp_path):
    net = load(grounder.deploy_net(SIZE, None), tmp_path)
    randomize(net)
    net.params["features_normalized"][1].data[...] = RANDOM.uniform(1, 9, FC7 + 8)
    net.params["features_normalized"][2].data[...] = 3
    blobs = {name: [b.data.astype(float) for b in given] for name, given in net.params.items()}
    boxes = np.array([[2, 3, 20, 30], [0, 0, 39, 39]])
    regions = RegionFeatures(
        boxes, RANDOM.normal(size=(2, FC7)), RANDOM.normal(size=(2, FC8)), None, 40, 40
    )
    expressions = ["red car left", "tree", "a red tree"]
    scorer = GrounderScorer(net, WORDS)
    scores = scorer(regions, expressions)
    assert scores.shape == (3, 2)
    given = normalized(blobs, np.hstack([regions.fc7, spatial_features(boxes, 40, 40)]))
    for expression, found in zip(expressions, scores):
        words = re.findall(r"\w+", expression)
        tokens = [WORDS.words.index(word) if word in WORDS else 3 for word in words]
        np.testing.assert_allclose(found, attention(blobs, given, tokens), rtol=1e-4)
    np.testing.assert_allclose(scorer(regions, expressions[2:]), scores[2:], rtol=1e-5)
    with pytest.raises(UserError, match="of different sizes"):
        scorer(regions._replace(fc7=regions.fc8), expressions)


def test_training_minimises_the_cross_entropy_of_the_best_box(features, tmp_path):
    dataset, folder, _ = features
    size = replace(SIZE, vocabulary=len(dataset.vocabulary))
    net = load(grounder.train_net(size, SimpleNamespace(
        data=str(dataset.directory), recipe=SimpleNamespace(batch=3), seed=1, workers=1,
        train_split="train", features=str(folder),
    )), tmp_path)
    randomize(net)
    net.params["features_normalized"][1].data[...] = RANDOM.uniform(1, 9, FC7 + 8)
    net.params["features_normalized"][2].data[...] = 3
    blobs = {name: [b.data.astype(float) for b in given] for name, given in net.params.items()}
    net.forward()
    batch = GrounderBatchMaker(
        settings(features, split="val", batch=3, candidates=PROPOSALS)
    )(0)
    rows = normalized(blobs, batch["features"]).reshape(3, PROPOSALS, -1)
    losses = []
    for n, label in enumerate(batch["label"]):
        length = int(batch["continuation"][:, n].sum()) + 1
        scores = attention(blobs, rows[n], batch["tokens"][MAX_WORDS - length:, n])
        losses.append(-log_softmax(scores)[label])
    np.testing.assert_allclose(net.blobs["loss"].data, np.mean(losses), rtol=1e-4)


def test_the_method_returns_the_rectangle_of_the_best_box(features, tmp_path):
    dataset, folder, _ = features
    net = load(grounder.deploy_net(SIZE, None), tmp_path)
    randomize(net)
    net.params["features_normalized"][1].data[...] = 1
    net.params["features_normalized"][2].data[...] = 1
    scorer = GrounderScorer(net, WORDS)
    check_best_box("grounder", scorer, dataset, folder, tmp_path)
