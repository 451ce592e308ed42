import numpy as np
import pytest
from pycocotools import mask as coco
from support.refer_data import rectangle

from objseg.data.masks import MaskError
from objseg.data.segmentations import decode

H, W = 20, 30


def random_mask(seed):
    return np.asfortranarray(np.random.RandomState(seed).rand(H, W) < (seed + 1) / 10, np.uint8)


def text_of(mask):
    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def numbers_of(mask):
    """Return run lengths as numbers, straight from their definition."""
    pixels = mask.ravel(order="F").tolist()
    counts, value = [0], 0
    for pixel in pixels:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@pytest.mark.parametrize("mask", [
    *map(random_mask, range(9)), np.zeros((H, W), np.uint8), np.ones((H, W), np.uint8),
])
def test_run_lengths_are_those_of_pycocotools(mask):
    for runs in text_of(mask), numbers_of(mask):
        np.testing.assert_array_equal(decode(runs, H, W), mask)
        np.testing.assert_array_equal(decode([runs], H, W), mask)


def test_long_runs_as_text_are_read():
    mask = np.zeros((3000, 2000), np.uint8)
    mask[7:2950, 11:1990] = 1
    np.testing.assert_array_equal(decode(text_of(mask), 3000, 2000), mask)


def test_a_polygon_of_whole_pixels_has_these_pixels():
    expected = np.zeros((H, W), bool)
    expected[3:7, 2:9] = True
    np.testing.assert_array_equal(decode([rectangle(2, 3, 9, 7)], H, W), expected)


def test_several_polygons_are_united_also_where_they_overlap():
    expected = np.zeros((H, W), bool)
    expected[3:7, 2:9] = expected[5:12, 4:20] = True
    found = decode([rectangle(2, 3, 9, 7), rectangle(4, 5, 20, 12)], H, W)
    np.testing.assert_array_equal(found, expected)


def test_what_is_outside_the_picture_is_cut():
    np.testing.assert_array_equal(
        decode([rectangle(-50, -50, 9, 7)], H, W), decode([rectangle(0, 0, 9, 7)], H, W)
    )
    assert not decode([rectangle(200, 200, 300, 300)], H, W).any()
    assert decode([rectangle(-9999, -9999, 9999, 9999)], H, W).all()


def test_a_polygon_of_one_or_two_points_marks_nothing():
    assert not decode([[1, 1, 5, 5]], H, W).any()  # pycocotools would take it for a box
    np.testing.assert_array_equal(
        decode([[1, 1, 15, 15], rectangle(2, 3, 9, 7), [4, 4]], H, W),
        decode([rectangle(2, 3, 9, 7)], H, W),
    )


@pytest.mark.parametrize("segmentation, message", [
    ([], "segmentation is \\[\\], expected polygons"), (None, "segmentation is None"),
    ([[1, 1, 5, 5, 3]], "expected points"), ([[1, 1, 5, 5, 3, float("nan")]], "expected points"),
    ([[1, 1, 5, 5, 3, "4"]], "expected points"), (["polygon"], "expected points"),
    ([rectangle(0, 0, 1e12, 1e12)], "at most 100,000 pixels"),
    ({"size": [H, W], "counts": [5, 3]}, "counts that add up to 600"),
    ({"size": [H, W], "counts": [605, -5]}, "counts that add up to 600"),
    ({"size": [H, W], "counts": [10**12]}, "counts that add up to 600"),
    ({"size": [H, W], "counts": [600.0]}, "counts that add up to 600"),
    ({"size": [W, H], "counts": [600]}, "expected the size \\[20, 30\\]"),
    ({"size": [H, W]}, "run lengths"), ({}, "run lengths"),
    ({"size": [H, W], "counts": "zzzz~~~!!"}, "run lengths"),  # these crash pycocotools
    ({"size": [H, W], "counts": "o" * 200}, "run lengths"),
    ({"size": [H, W], "counts": "0"}, "run lengths"),
    ({"size": [H, W], "counts": "é" * 50}, "run lengths"),
])
def test_a_damaged_segmentation_is_refused(segmentation, message):
    with pytest.raises(MaskError, match=message):
        decode(segmentation, H, W)


@pytest.mark.parametrize("seed", range(200))
def test_random_text_is_a_mask_or_an_error(seed):
    random = np.random.RandomState(seed)
    text = "".join(map(chr, random.randint(40, 120, random.randint(1, 30))))
    with pytest.raises(MaskError):
        decode({"size": [H, W], "counts": text}, H, W)
