"""SCRC: its captions, its batches, and its scores against an LSTM in numpy."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import caffe
import numpy as np
import pytest
from scipy.special import log_softmax
from support.tiny_trunk import FC7, FC8, check_best_box, lstm, propose, randomize, write_trunk

from models import scrc
from models.sizes import SLIM
from objseg.batches.scrc import ScrcBatchMaker, ScrcSettings, encode_captions
from objseg.data.dataset import Dataset
from objseg.data.expressions import MAX_WORDS, SPECIALS, Vocabulary
from objseg.data.images import read_image
from objseg.errors import UserError
from objseg.methods.scrc import ScrcScorer, log_probabilities, pack
from objseg.regions.boxes import spatial_features
from objseg.regions.crop_trunk import CropTrunk
from objseg.regions.extraction import extract
from objseg.regions.features import RegionFeatures

RANDOM = np.random.RandomState(0)
WORDS = Vocabulary([*SPECIALS, "red", "car", "left", "tree"])
SIZE = replace(SLIM, fc=(FC7, FC7, FC8), vocabulary=len(WORDS), embedding=3, hidden=4)


@pytest.fixture(scope="module")
def features(scenes, tmp_path_factory):
    """Features of the scenes' boxes by a tiny trunk; (Dataset, folder, trunk's files)."""
    folder, dataset = tmp_path_factory.mktemp("scrc"), Dataset(scenes)
    trunk = write_trunk(folder)
    propose(dataset, folder / "proposals")
    extract(dataset, folder / "proposals", *trunk, folder / "features")
    return dataset, folder / "features", trunk


def settings(made, **changes):
    dataset, folder, _ = made
    values = dict(data=str(dataset.directory), split="train", batch=7, words=MAX_WORDS,
                  vocabulary=200, features=str(folder))
    return ScrcSettings(**{**values, **changes})


def load(proto, folder):
    path = folder / "net.prototxt"
    path.write_text(str(proto))
    return caffe.Net(str(path), caffe.TEST)


def caption_scores(blobs, tokens, local, context):
    """The scores of every word after each of ``tokens``, (T, V), for one box."""
    language = lstm(blobs["embedding"][0][tokens], blobs["lstm_language"])
    weights, bias = blobs["context_features"]
    branches = {"local": local, "context": weights @ context + bias}
    scores = 0
    for name, static in branches.items():
        states = lstm(language, blobs[f"lstm_{name}"], static)
        weights, bias = blobs[f"predict_{name}"]
        scores = scores + np.array(states) @ weights.T + bias
    return scores


# ---- captions and their batches ----

@pytest.mark.parametrize("count", [1, 5, MAX_WORDS - 1, MAX_WORDS, MAX_WORDS + 5])
def test_the_target_is_the_next_word(count):
    expression = " ".join(RANDOM.choice(WORDS.words[4:], count))
    columns = encode_captions(WORDS, ["tree", expression], MAX_WORDS)
    assert all(array.shape == (MAX_WORDS, 2) for array in columns.values())
    tokens, target = ([*columns[name][:, 1]] for name in ("tokens", "target"))
    said = [WORDS.words.index(word) for word in expression.split()][:MAX_WORDS]
    end = [WORDS.words.index("<eos>")] if count < MAX_WORDS else []
    assert target == said + end + [-1] * (MAX_WORDS - len(said + end))
    assert tokens[0] == WORDS.words.index("<go>")
    steps = len(said + end)
    assert tokens[1:steps] == target[:steps - 1] and not any(tokens[steps:])
    assert columns["continuation"][:, 1].tolist() == [0] + [1] * (MAX_WORDS - 1)


def test_a_batch_holds_the_regions_own_boxes(features):
    dataset, _, trunk = features
    maker = ScrcBatchMaker(settings(features))
    batch, crops = maker(3), CropTrunk(*trunk)
    assert {name: batch[name].shape for name in maker.shapes} == maker.shapes
    samples = [maker.samples[maker.order.group(21 + n)[0]] for n in range(7)]
    for n, (image, region, expression, _) in enumerate(samples):
        fc8 = crops.features(read_image(image.path), [region.box])[1]
        np.testing.assert_array_equal(batch["local"][n, :FC8], fc8[0])
        expected = spatial_features([region.box], image.width, image.height)
        np.testing.assert_array_equal(batch["local"][n, FC8:], expected[0])
        whole = [[0, 0, image.width - 1, image.height - 1]]
        fc7 = crops.features(read_image(image.path), whole)[0]
        np.testing.assert_array_equal(batch["context"][n], fc7[0])
        caption = encode_captions(dataset.vocabulary, [expression], MAX_WORDS)
        for name, column in caption.items():
            np.testing.assert_array_equal(batch[name][:, n], column[:, 0])


def test_the_stream_does_not_depend_on_the_batch(features):
    seven = ScrcBatchMaker(settings(features))(0)
    ones = ScrcBatchMaker(settings(features, batch=1))
    for n in range(7):
        one = ones(n)
        np.testing.assert_array_equal(one["local"][0], seven["local"][n])
        np.testing.assert_array_equal(one["target"][:, 0], seven["target"][:, n])


def test_an_image_without_features_is_refused_before_training(features, tmp_path):
    _, folder, _ = features
    image = features[0].images("train")[0].id
    index = json.loads((folder / "index.json").read_text())
    del index["keys"][image]
    for path in folder.glob("*.h5"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "index.json").write_text(json.dumps(index))
    broken = settings(features, features=str(tmp_path), batch=200)
    with pytest.raises(UserError, match=f"image {image}.*extract_features.py"):
        ScrcBatchMaker(broken)


@pytest.mark.parametrize("changes, message", [
    (dict(vocabulary=5), "larger than the net's embedding"),
    (dict(features="/nowhere"), "/nowhere/index.json does not exist.*extract_features.py"),
    (dict(batch=0), "batch is 0"),
    (dict(seed=-1), "seed is -1"),
])
def test_settings_that_cannot_be_used(features, changes, message):
    with pytest.raises(UserError, match=message):
        ScrcBatchMaker(settings(features, **changes))


# ---- scores ----

def test_log_probabilities_of_any_scores():
    scores = RANDOM.normal(0, 10, (5, 3, 7)).astype(np.float32)
    scores[1], scores[2] = scores[1] * 1e4, -1e30
    targets = RANDOM.randint(0, 7, 5)
    expected = log_softmax(scores.astype(float), axis=-1)
    found = log_probabilities(scores, targets)
    for t, target in enumerate(targets):
        np.testing.assert_allclose(found[t], expected[t, :, target], rtol=1e-4, atol=1e-4)


def test_every_caption_has_steps_of_its_own():
    for _ in range(50):
        lengths = RANDOM.randint(1, MAX_WORDS + 1, RANDOM.randint(1, 12))
        texts = pack(lengths, MAX_WORDS)
        assert sorted(n for text in texts for n, _ in text) == list(range(len(lengths)))
        for text in texts:
            steps = [step for n, begin in text for step in range(begin, begin + lengths[n])]
            assert steps == list(range(len(steps))) and len(steps) <= MAX_WORDS
    assert len(pack([4] * 10, MAX_WORDS)) == 2


def test_a_score_is_the_log_probability_of_the_words(tmp_path):
    net = load(scrc.deploy_net(SIZE, None), tmp_path)
    blobs = randomize(net)
    boxes = np.array([[2, 3, 20, 30], [0, 0, 39, 39]])
    regions = RegionFeatures(
        boxes, RANDOM.normal(size=(2, FC7)), RANDOM.normal(size=(2, FC8)),
        RANDOM.normal(size=FC7), 40, 40,
    )
    long = " ".join(RANDOM.choice(["red", "car", "left"], MAX_WORDS + 3))
    expressions = ["red car left", "tree", "a red tree", "?", long, "car"]
    scorer = ScrcScorer(net, WORDS)
    scores = scorer(regions, expressions)
    assert scores.shape == (6, 2)
    spatial = spatial_features(boxes, 40, 40)
    for expression, of_boxes in zip(expressions, scores):
        words = [WORDS.words.index(word) if word in WORDS else 3 for word in
                 re.findall(r"\w+|\?", expression)][:MAX_WORDS]
        tokens = [1, *words[:-1]]
        for fc8, where, found in zip(regions.fc8, spatial, of_boxes):
            table = caption_scores(blobs, tokens, np.hstack([fc8, where]), regions.context)
            expected = log_softmax(table, axis=1)[np.arange(len(words)), words].sum()
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    # one at a time, and for one box alone
    np.testing.assert_allclose(scorer(regions, expressions[:1])[0], scores[0], rtol=1e-5)
    one = regions._replace(boxes=boxes[1:], fc8=regions.fc8[1:], fc7=regions.fc7[1:])
    np.testing.assert_allclose(scorer(one, expressions)[:, 0], scores[:, 1], rtol=1e-5)
    with pytest.raises(UserError, match="of different sizes"):
        scorer(regions._replace(fc8=regions.fc7), expressions)


def test_training_minimises_minus_that_log_probability(features, tmp_path):
    dataset, folder, _ = features
    size = replace(SIZE, vocabulary=len(dataset.vocabulary))
    recipe = SimpleNamespace(batch=3)
    net = load(scrc.train_net(size, SimpleNamespace(
        data=str(dataset.directory), recipe=recipe, seed=1, workers=1, train_split="train",
        features=str(folder),
    )), tmp_path)
    blobs, given = randomize(net), ScrcBatchMaker(settings(features, split="val", batch=3))(0)
    net.forward()
    losses = []
    for n in range(3):
        target = given["target"][:, n]
        table = caption_scores(
            blobs, given["tokens"][:, n], given["local"][n], given["context"][n]
        )
        used = np.flatnonzero(target >= 0)
        losses += [*-log_softmax(table, axis=1)[used, target[used]]]
    np.testing.assert_allclose(net.blobs["loss"].data, np.mean(losses), rtol=1e-4)


def test_the_method_returns_the_rectangle_of_the_best_box(features, tmp_path):
    dataset, folder, _ = features
    net = load(scrc.deploy_net(SIZE, None), tmp_path)
    randomize(net, scale=2)
    check_best_box("scrc", ScrcScorer(net, WORDS), dataset, folder, tmp_path)
