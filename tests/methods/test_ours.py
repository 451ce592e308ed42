"""The CaffeSegmenter: the trunk is shared, and no result depends on what else was asked."""

import shutil

import caffe
import numpy as np
import pytest
from scipy import special

from models.sizes import SIZES
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.methods.configuration import conventional_prototxt
from objseg.methods.ours import CaffeSegmenter
from objseg.methods.segmenter import EXPRESSIONS_AT_ONCE, score_of

NETS = conventional_prototxt(SIZES["slim"])
VOCABULARY = Vocabulary.build(["left half the top and more sky"], min_count=1)
EXPRESSIONS = [
    " ".join(["left half", "the top", "sky"][:n % 4]) for n in range(EXPRESSIONS_AT_ONCE + 3)
]
ONE, OTHER = np.random.RandomState(1).randint(0, 256, (2, 50, 70, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def segmenter():
    caffe.set_random_seed(4)
    return CaffeSegmenter(NETS / "deploy_highres.prototxt", None, VOCABULARY)


def test_shared_trunk_equals_one_expression_at_a_time(segmenter):
    shared = list(segmenter.responses(ONE, EXPRESSIONS))
    alone = [found for text in EXPRESSIONS for found in segmenter.responses(ONE, [text])]
    assert np.ptp(shared) > 0.01
    np.testing.assert_allclose(shared, alone, atol=1e-5)


def test_another_image_in_between_changes_nothing(segmenter):
    segmenter.set_image(ONE)
    masks, scores, expected = segmenter.predict(EXPRESSIONS)
    assert scores.shape == (len(EXPRESSIONS),)
    mixed = zip(segmenter.responses(ONE, EXPRESSIONS), segmenter.responses(OTHER, EXPRESSIONS))
    for (response, different), wanted, mask in zip(mixed, expected, masks):
        np.testing.assert_array_equal(response, wanted)
        np.testing.assert_array_equal(response > 0, mask)
        assert not np.allclose(different, wanted, atol=1e-4)


def test_the_trunk_runs_once_for_a_prepared_image_whatever_is_asked_in_between(segmenter):
    kept = segmenter.prepare(ONE)
    segmenter.run_trunk(kept)
    assert kept.pixels is None  # so it cannot run again
    expected = list(segmenter.responses(ONE, EXPRESSIONS))
    list(segmenter.responses(OTHER, EXPRESSIONS))
    np.testing.assert_array_equal(list(segmenter.responses_of(kept, EXPRESSIONS)), expected)


def test_results_keep_their_values_when_more_is_asked(segmenter):
    segmenter.set_image(ONE)
    found = segmenter.predict(EXPRESSIONS[:2])
    copies = [array.copy() for array in found]
    segmenter.predict(EXPRESSIONS[1:])
    segmenter.set_image(OTHER)
    segmenter.predict(EXPRESSIONS[:2])
    for array, copy in zip(found, copies):
        np.testing.assert_array_equal(array, copy)


def test_the_score_is_the_mean_probability_within_the_mask():
    probability = np.array([[0.2, 0.5, 0.6], [0.9, 0.75, 0.01]])
    response = special.logit(probability).astype(np.float32)
    assert score_of(response) == pytest.approx((0.6 + 0.9 + 0.75) / 3)
    assert score_of(-np.abs(response)) == 0
    assert score_of(np.full((3, 4), 500, np.float32)) == 1


def test_five_hundred_expressions_take_the_memory_of_sixteen(segmenter):
    maps = segmenter.responses(ONE, ["sky", "the top"] * 250)
    first, second = next(maps), next(maps)
    count = 2
    for n, response in enumerate(maps):
        np.testing.assert_allclose(response, (first, second)[n % 2], atol=1e-5)
        count += 1
    assert count == 500
    assert segmenter.net.blobs["tokens"].shape[1] <= EXPRESSIONS_AT_ONCE


def test_no_expression_gives_no_mask(segmenter):
    segmenter.set_image(ONE)
    masks, scores, responses = segmenter.predict([])
    assert masks.shape == responses.shape == (0, *ONE.shape[:2]) and scores.shape == (0,)


def test_one_string_and_a_picture_that_was_not_read_are_refused(segmenter):
    with pytest.raises(ValueError, match="cv2.imread returns None"):
        segmenter.set_image(None)
    segmenter.set_image(ONE)
    with pytest.raises(ValueError, match="takes a list of expressions: .'sky'."):
        segmenter.predict("sky")


def test_predict_asks_for_an_image_first():
    with pytest.raises(RuntimeError, match="set_image"):
        CaffeSegmenter(NETS / "deploy_lowres.prototxt", None, VOCABULARY).predict(["sky"])


@pytest.mark.parametrize("image", [
    ONE[..., 0], ONE / np.float32(255), np.dstack([ONE, ONE[..., 0]]), ONE[:0], ONE[None],
], ids=["grey", "float", "four channels", "empty", "batch"])
def test_other_arrays_than_pictures_are_refused(segmenter, image):
    with pytest.raises(ValueError, match="expected .H, W, 3. and uint8"):
        segmenter.set_image(image)


def test_a_folder_of_training_is_loaded_as_its_files_are(segmenter, tmp_path):
    segmenter.net.save(str(tmp_path / "highres_iter_7.caffemodel"))
    with pytest.raises(UserError, match="deploy_highres.prototxt or no highres_vocabulary.txt"):
        CaffeSegmenter.load(tmp_path)
    (tmp_path / "prototxt").mkdir()
    shutil.copy(NETS / "deploy_highres.prototxt", tmp_path / "prototxt")
    VOCABULARY.save(tmp_path / "highres_vocabulary.txt")
    loaded = CaffeSegmenter.load(tmp_path)
    for model in (loaded, segmenter):
        model.set_image(ONE)
    np.testing.assert_array_equal(
        loaded.predict(["sky"]).responses, segmenter.predict(["sky"]).responses
    )
