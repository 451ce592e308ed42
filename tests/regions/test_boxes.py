"""Boxes against masks that are drawn pixel by pixel."""

import numpy as np
import pytest

from objseg.regions.boxes import box_areas, box_iou, box_mask, clip, spatial_features, whole_image

WIDTH, HEIGHT = 23, 17


def random_boxes(random, count, low=(0, 0), high=(WIDTH, HEIGHT)):
    """Boxes with corners in low ... high - 1, some of them a single pixel."""
    first, second = (random.randint(low, high, (count, 2)) for _ in range(2))
    return np.hstack([np.minimum(first, second), np.maximum(first, second)])


def draw(box):
    """The mask of a box, by asking every pixel."""
    xmin, ymin, xmax, ymax = box
    return np.array([[xmin <= x <= xmax and ymin <= y <= ymax for x in range(WIDTH)]
                     for y in range(HEIGHT)])


def test_iou_is_that_of_the_masks():
    boxes = random_boxes(np.random.RandomState(0), 60)
    masks = np.array([draw(box) for box in boxes])
    for box, mask in zip(boxes[:20], masks):
        expected = (masks & mask).sum(axis=(1, 2)) / (masks | mask).sum(axis=(1, 2))
        found = box_iou(boxes, box)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_iou_of_no_boxes():
    assert box_iou(np.zeros((0, 4), int), [0, 0, 3, 3]).shape == (0,)


def test_iou_of_huge_boxes_does_not_overflow():
    box = np.array([0, 0, 99_999, 99_999], np.int32)
    assert box_iou(box[None], box) == [1.0]


def test_areas_count_pixels():
    boxes = random_boxes(np.random.RandomState(1), 30)
    assert box_areas(boxes).tolist() == [draw(box).sum() for box in boxes]


def test_spatial_features_by_hand():
    left_half, pixel = spatial_features([[0, 0, 5, 7], [6, 2, 6, 2]], 12, 8)
    # xmin, ymin, xmax, ymax, centre x, y, width, height
    np.testing.assert_allclose(
        left_half, [-1, -1, -1 / 6, 3 / 4, -7 / 12, -1 / 8, 5 / 6, 7 / 4], rtol=1e-6
    )
    np.testing.assert_allclose(pixel, [0, -0.5, 0, -0.5, 0, -0.5, 0, 0], atol=1e-7)
    assert left_half.dtype == np.float32


def test_spatial_features_do_not_depend_on_the_scale():
    boxes = random_boxes(np.random.RandomState(2), 30)
    np.testing.assert_allclose(
        spatial_features(boxes, WIDTH, HEIGHT), spatial_features(boxes * 8, WIDTH * 8, HEIGHT * 8)
    )


def test_masks_and_clipping_of_boxes_partly_or_wholly_outside():
    boxes = random_boxes(np.random.RandomState(3), 200, (-12, -12), (WIDTH + 12, HEIGHT + 12))
    inside = [box for box in boxes if draw(box).any()]
    assert 0 < len(inside) < len(boxes)
    for box in boxes:
        assert np.array_equal(box_mask(box, HEIGHT, WIDTH), draw(box))
    clipped = clip(boxes, WIDTH, HEIGHT)
    assert len(clipped) == len(inside)
    for before, after in zip(inside, clipped):
        assert np.array_equal(draw(before), draw(after))
        assert after.min() >= 0 and after[2] < WIDTH and after[3] < HEIGHT


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), [[WIDTH, 0, WIDTH + 3, 4]]])
def test_clipping_can_leave_nothing(boxes):
    assert clip(boxes, WIDTH, HEIGHT).shape == (0, 4)


def test_whole_image():
    assert box_mask(whole_image(WIDTH, HEIGHT), HEIGHT, WIDTH).all()
    assert box_areas([whole_image(WIDTH, HEIGHT)]) == [WIDTH * HEIGHT]
