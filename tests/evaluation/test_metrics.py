"""Metrics against numbers worked out by hand, and against their definitions."""

import numpy as np
import pytest

from objseg import metrics


def mask(*pixels, shape=(2, 5)):
    result = np.zeros(shape, bool)
    result.ravel()[list(pixels)] = True
    return result


def test_areas_count_pixels():
    assert metrics.areas(mask(0, 1, 2), mask(1, 2, 3, 4)) == (2, 5)
    assert metrics.areas(mask(), mask(1)) == (0, 1)
    assert metrics.areas(mask(*range(10)), mask(3)) == (1, 10)
    assert all(type(area) is int for area in metrics.areas(mask(0), mask(0)))
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(5, 2\)"):
        metrics.areas(mask(), mask(shape=(5, 2)))


def test_empty_prediction_of_an_empty_region_is_right():
    summary = metrics.summarize(*zip(metrics.areas(mask(), mask())))
    assert summary == {**dict.fromkeys(metrics.NAMES, 1.0), "samples": 1}


@pytest.mark.parametrize("areas", [(mask(), mask(2)), (mask(2), mask()), (mask(1), mask(2))])
def test_disjoint_or_half_empty_is_wrong(areas):
    summary = metrics.summarize(*zip(metrics.areas(*areas)))
    assert summary == {**dict.fromkeys(metrics.NAMES, 0.0), "samples": 1}


def test_whole_image_scores_the_share_of_the_region():
    areas = metrics.areas(np.ones((2, 5), bool), mask(0, 1, 2, 3, 4, 5, 6))
    summary = metrics.summarize(*zip(areas))
    assert summary["overall_iou"] == summary["mean_iou"] == 0.7
    assert [summary[f"precision@0.{tenths}"] for tenths in metrics.TENTHS] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("tenths", metrics.TENTHS)
def test_equality_at_a_threshold_passes_at_any_scale(tenths):
    scale = np.arange(1, 50000, dtype=np.int64)
    assert metrics.passes(tenths * scale, 10 * scale, tenths).all()
    assert not metrics.passes(tenths * scale - 1, 10 * scale, tenths).any()


def test_overall_iou_weighs_by_area_and_mean_iou_does_not():
    summary = metrics.summarize([90, 0], [100, 20])
    assert summary["overall_iou"] == 90 / 120
    assert summary["mean_iou"] == 0.45
    assert summary["precision@0.9"] == summary["precision@0.5"] == 0.5


def test_no_sample_is_an_error():
    with pytest.raises(ValueError, match="no sample"):
        metrics.summarize([], [])


def test_interval_is_that_of_a_mean_over_images():
    # 400 independent images of two identical samples: the standard error follows from the images,
    # not from the samples, which would make the interval narrower by the root of two.
    passed = np.random.RandomState(3).rand(400) < 0.3
    intersections = np.repeat(passed, 2) * 10
    bounds = metrics.bootstrap(intersections, np.full(800, 10), np.repeat(np.arange(400), 2))
    share = passed.mean()
    error = np.sqrt(share * (1 - share) / 400)
    assert bounds["precision@0.5"] == pytest.approx(
        [share - 1.96 * error, share + 1.96 * error], abs=0.2 * error
    )
    for name, (low, high) in bounds.items():
        assert low <= metrics.summarize(intersections, np.full(800, 10))[name] <= high


def test_interval_is_seeded_and_has_no_width_for_one_image():
    areas = [1, 2, 3], [4, 4, 4]
    first = metrics.bootstrap(*areas, ["a", "b", "c"])
    assert first == metrics.bootstrap(*areas, ["a", "b", "c"])
    assert first != metrics.bootstrap(*areas, ["a", "b", "c"], repeats=50, seed=1)
    assert metrics.bootstrap(*areas, ["a", "a", "a"])["overall_iou"] == [0.5, 0.5]
