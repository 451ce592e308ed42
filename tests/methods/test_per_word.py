"""Per-word segmentation: which words, their maps, and the three ways to combine them."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special

from models.sizes import SIZES
from objseg.data.frequent_words import FrequentWords
from objseg.methods import per_word
from objseg.methods.configuration import conventional_prototxt
from objseg.methods.method import Configuration
from objseg.methods.table1 import group_by_net, open_methods

WORDS = ["tree", "sky", "red"]
ROWS = ("average", "intersection", "union")


def drawn(row, *findings, shape=(1, 4)):
    """The masks that a row makes of score maps, as lists."""
    image = np.zeros((*shape, 3), np.uint8)
    return [mask.tolist() for mask, _ in getattr(per_word, row)(image, map(np.array, findings))]


@pytest.mark.parametrize("row, expected", [
    ("average", [True, True, False, False]),
    ("intersection", [True, False, False, False]),
    ("union", [True, True, True, False]),
])
def test_two_words_are_combined_as_by_hand(row, expected):
    first, second = [[2, 3, 1, -1]], [[1, -1, -2, -1]]  # means 1.5, 1, -0.5, -1
    assert drawn(row, [first, second]) == [[expected]]


@pytest.mark.parametrize("row", ROWS)
def test_one_word_alone_decides_and_none_is_all_background(row):
    assert drawn(row, [[[2, -2, 0, 1]]], np.zeros((0, 1, 4))) == [
        [[True, False, False, True]], [[False] * 4]
    ]


@pytest.fixture
def method(tmp_path):
    """The three rows on the slim net with random weights, and a picture."""
    caffe = pytest.importorskip("caffe")
    deploy = conventional_prototxt(SIZES["slim"]) / "deploy_per-word.prototxt"
    caffe.set_random_seed(2)
    net = caffe.Net(str(deploy), caffe.TEST)
    random = np.random.RandomState(2)
    for blob in net.params["score_words"]:
        blob.data[...] = random.randn(*blob.data.shape) / 30
    net.save(str(tmp_path / "random.caffemodel"))
    FrequentWords(WORDS, 100).save(tmp_path / "per-word_vocabulary.txt")
    rows = [
        Configuration(f"per-word-{row}", deploy, tmp_path / "random.caffemodel",
                      tmp_path / "per-word_vocabulary.txt")
        for row in ROWS
    ]
    assert group_by_net(rows) == [rows]
    return rows, random.randint(0, 256, (50, 70, 3)).astype(np.uint8)


def test_maps_are_those_of_the_words_asked_for(method):
    rows, image = method
    find = per_word.open_words(rows[0])
    expressions = ["the red tree", "unknown", "sky", "red", "tree tree"]
    together = [maps for maps, _ in find(image, expressions)]
    alone = [next(find(image, [expression]))[0] for expression in expressions]
    for several, one in zip(together, alone):
        np.testing.assert_allclose(several, one, atol=1e-4)
    assert [len(maps) for maps in together] == [2, 0, 1, 1, 1]
    assert np.ptp(together[2]) > 0 and not np.allclose(together[2], together[3])
    both = sorted(map(np.sum, together[0]))
    np.testing.assert_allclose(both, sorted([together[3].sum(), together[4].sum()]), rtol=1e-4)


def test_rows_share_the_net_and_count_expressions_without_a_word(method):
    rows, image = method
    drawings = open_methods(rows)(image, ["red sky", "nothing known"])
    average, both, either = (list(masks) for masks, _ in drawings)
    assert not (both[0] & ~either[0]).any() and not (both[0] & ~average[0]).any()
    assert not (average[0] & ~either[0]).any()
    assert not any(mask[1].any() for mask in (average, both, either))
    assert all(tally == {"no frequent word": 1} for _, tally in drawings)


def test_the_loss_is_that_of_a_logistic_regression_for_every_word(slim_nets):
    caffe = pytest.importorskip("caffe")
    net = caffe.Net(str(slim_nets / "train_per-word.prototxt"), caffe.TRAIN)
    random = np.random.RandomState(3)
    for blob in net.params["score_words"]:
        blob.data[...] = random.randn(*blob.data.shape) / 30
    net.forward()
    scores, label = (net.blobs[name].data.astype(float) for name in ("score_words", "label"))
    assert scores.shape == label.shape and np.ptp(scores) > 0.1 and 0 < label.mean() < 1
    right = np.log(scipy.special.expit(np.where(label, scores, -scores)))
    expected = -right.sum(axis=1).mean()  # over words a sum, over images and cells the mean
    weight = net.blob_loss_weights["loss"]
    assert weight * float(net.blobs["loss"].data) == pytest.approx(expected, rel=1e-4)


def test_frequent_words_leave_out_stop_words_and_punctuation():
    words = FrequentWords.of(Samples(["the red tree", "red , red", "a tree towards sky"]), 2)
    assert words.words == ["red", "tree"]  # 3 and 2 times
    assert words.share_without(["the sky", "red sky", "tree", "?"]) == 0.5


class Samples(list):
    """Stands in for a data set of these expressions."""

    def samples(self, split):
        assert split == "trainval"
        return [SimpleNamespace(expression=text) for text in self]
