"""GrabCut on pictures whose foreground is known."""

import cv2
import numpy as np
import pytest

from objseg.data.images import MAX_PIXELS
from objseg.methods.grabcut import grabcut
from objseg.regions.boxes import box_mask

BOX = (25, 15, 74, 54)


def noise(shape, colour, seed):
    """A noisy uniform picture, BGR uint8."""
    random = np.random.RandomState(seed)
    return np.clip(np.array(colour) + random.normal(0, 6, (*shape, 3)), 0, 255).astype(np.uint8)


def red_disc_on_green(height=70, width=100):
    """A picture, and the mask of the disc in it; BOX lies well around it."""
    rows, columns = np.ogrid[:height, :width]
    disc = np.hypot(rows / height - 0.5, (columns / width - 0.5) * width / height) < 0.2
    image = noise((height, width), (60, 160, 60), 0)
    image[disc] = noise((height, width), (40, 40, 200), 1)[disc]
    return image, disc


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_recovers_the_object():
    image, disc = red_disc_on_green()
    mask, note = grabcut(image, BOX)
    assert mask.dtype == bool and iou(mask, disc) > 0.97 and note is None


def test_is_what_opencv_does_with_a_rectangle():
    image = noise((70, 100), (90, 90, 90), 2)
    image[20:50, 30:70] = noise((30, 40), (150, 120, 90), 3)
    image[5:15, 60:90] = (150, 120, 90)
    labels = np.zeros((70, 100), np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, (25, 15, 50, 40), np.zeros((1, 65)), np.zeros((1, 65)), 5,
                cv2.GC_INIT_WITH_RECT)
    expected = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    assert 0 < expected.sum() < 2000
    assert np.array_equal(grabcut(image, BOX)[0], expected)


def test_stays_inside_the_box():
    image, disc = red_disc_on_green()
    half = (20, 10, 50, 60)  # cuts the disc in two
    mask, _ = grabcut(image, half)
    inside = box_mask(half, *disc.shape)
    assert mask.any() and not (mask & ~inside).any()


def test_a_box_that_reaches_outside_is_cut():
    image, disc = red_disc_on_green()
    assert np.array_equal(grabcut(image, (25, 15, 200, 54))[0], grabcut(image, (25, 15, 99, 54))[0])


def test_is_the_same_every_time_and_with_any_number_of_threads():
    image = noise((90, 120), (100, 100, 100), 4)
    image[30:60, 40:80] = noise((30, 40), (110, 105, 100), 5)
    threads = cv2.getNumThreads()
    masks = []
    try:
        for count in (1, 4, 1, 2):
            cv2.setNumThreads(count)
            cv2.randu(np.zeros(count), 0, 1)  # move OpenCV's random generator on
            masks.append(grabcut(image, (30, 20, 90, 70))[0])
    finally:
        cv2.setNumThreads(threads)
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


@pytest.mark.parametrize("box", [
    (0, 0, 99, 69), (-5, -5, 300, 300),  # no background
    (10, 10, 10, 10), (10, 10, 11, 11),  # too few pixels
    (150, 10, 160, 20), (-9, -9, -1, -1),  # outside
])
def test_a_degenerate_box_is_its_rectangle(box):
    image, disc = red_disc_on_green()
    mask, note = grabcut(image, box)
    assert np.array_equal(mask, box_mask(box, *disc.shape))
    assert note == "degenerate box"


@pytest.mark.parametrize("box", [(10, 10, 10, 60), (10, 10, 11, 60), (10, 40, 90, 40)])
def test_a_thin_box_is_cut(box):
    image, disc = red_disc_on_green()
    mask, _ = grabcut(image, box)
    assert mask.any() and not (mask & ~box_mask(box, *disc.shape)).any()


@pytest.mark.parametrize("colour", [0, 127, 255])
def test_an_image_of_one_colour_is_the_rectangle(colour):
    image = np.full((70, 100, 3), colour, np.uint8)
    mask, note = grabcut(image, BOX)
    assert np.array_equal(mask, box_mask(BOX, 70, 100))
    assert note != "degenerate box"


def test_a_large_photograph_is_cut_on_a_smaller_one():
    image, disc = red_disc_on_green(840, 1200)
    assert disc.size > MAX_PIXELS
    box = [12 * value for value in BOX]
    mask, _ = grabcut(image, box)
    assert mask.shape == disc.shape and iou(mask, disc) > 0.97
    assert not (mask & ~box_mask(box, *disc.shape)).any()
