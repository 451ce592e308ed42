"""The Segmenter: the trunk is shared, and no result depends on what else was asked."""

import shutil

import caffe
import numpy as np
import pytest

from models.sizes import SIZES
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.methods.configuration import conventional_prototxt
from objseg.methods.ours import Segmenter
from objseg.methods.segmenter import EXPRESSIONS_AT_ONCE

NETS = conventional_prototxt(SIZES["slim"])
VOCABULARY = Vocabulary.build(["left half the top and more sky"], min_count=1)
EXPRESSIONS = [
    " ".join(["left half", "the top", "sky"][:n % 4]) for n in range(EXPRESSIONS_AT_ONCE + 3)
]
ONE, OTHER = np.random.RandomState(1).randint(0, 256, (2, 50, 70, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def segmenter():
    caffe.set_random_seed(4)
    return Segmenter(NETS / "deploy_highres.prototxt", None, VOCABULARY)


def test_shared_trunk_equals_one_expression_at_a_time(segmenter):
    shared = list(segmenter.scores(ONE, EXPRESSIONS))
    alone = [score for text in EXPRESSIONS for score in segmenter.scores(ONE, [text])]
    assert np.ptp(shared) > 0.01
    np.testing.assert_allclose(shared, alone, atol=1e-5)


def test_another_image_in_between_changes_nothing(segmenter):
    segmenter.set_image(ONE)
    masks, expected = segmenter.predict(EXPRESSIONS)
    mixed = zip(segmenter.scores(ONE, EXPRESSIONS), segmenter.scores(OTHER, EXPRESSIONS))
    for (score, different), wanted, mask in zip(mixed, expected, masks):
        np.testing.assert_array_equal(score, wanted)
        np.testing.assert_array_equal(score > 0, mask)
        assert not np.allclose(different, wanted, atol=1e-4)


def test_results_keep_their_values_when_more_is_asked(segmenter):
    segmenter.set_image(ONE)
    masks, scores = segmenter.predict(EXPRESSIONS[:2])
    copies = np.copy(masks), np.copy(scores)
    segmenter.predict(EXPRESSIONS[1:])
    segmenter.set_image(OTHER)
    segmenter.predict(EXPRESSIONS[:2])
    np.testing.assert_array_equal(masks, copies[0])
    np.testing.assert_array_equal(scores, copies[1])


def test_five_hundred_expressions_take_the_memory_of_sixteen(segmenter):
    maps = segmenter.scores(ONE, ["sky", "the top"] * 250)
    first, second = next(maps), next(maps)
    count = 2
    for n, score in enumerate(maps):
        np.testing.assert_allclose(score, (first, second)[n % 2], atol=1e-5)
        count += 1
    assert count == 500
    assert segmenter.net.blobs["tokens"].shape[1] <= EXPRESSIONS_AT_ONCE


def test_no_expression_gives_no_mask(segmenter):
    segmenter.set_image(ONE)
    assert segmenter.predict([]) == ([], [])


def test_predict_asks_for_an_image_first():
    with pytest.raises(RuntimeError, match="set_image"):
        Segmenter(NETS / "deploy_lowres.prototxt", None, VOCABULARY).predict(["sky"])


@pytest.mark.parametrize("image", [
    ONE[..., 0], ONE / np.float32(255), np.dstack([ONE, ONE[..., 0]]), ONE[:0], ONE[None],
], ids=["grey", "float", "four channels", "empty", "batch"])
def test_other_arrays_than_pictures_are_refused(segmenter, image):
    with pytest.raises(ValueError, match="expected .H, W, 3. and uint8"):
        segmenter.set_image(image)


def test_a_folder_of_training_is_loaded_as_its_files_are(segmenter, tmp_path):
    segmenter.net.save(str(tmp_path / "highres_iter_7.caffemodel"))
    with pytest.raises(UserError, match="deploy_highres.prototxt or no highres_vocabulary.txt"):
        Segmenter.load(tmp_path)
    (tmp_path / "prototxt").mkdir()
    shutil.copy(NETS / "deploy_highres.prototxt", tmp_path / "prototxt")
    VOCABULARY.save(tmp_path / "highres_vocabulary.txt")
    loaded = Segmenter.load(tmp_path)
    for model in (loaded, segmenter):
        model.set_image(ONE)
    np.testing.assert_array_equal(
        loaded.predict(["sky"])[1], segmenter.predict(["sky"])[1]
    )
