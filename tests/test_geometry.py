"""Placement of images in the net's square, as properties over shapes of every kind."""

import numpy as np
import pytest
import scipy.ndimage
import skimage.measure
import skimage.transform

from objseg import geometry
from objseg.geometry import Placement

SHAPES = [(480, 360), (360, 480), (512, 512), (1, 1), (1, 700), (700, 1), (6000, 8000), (37, 1001)]


@pytest.mark.parametrize("size", [16, 128, 512])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_placement_is_centred_inside_and_keeps_the_aspect(height, width, size):
    rows, columns = Placement(height, width, size).window
    inner = rows.stop - rows.start, columns.stop - columns.start
    assert max(inner) == size
    assert min(inner) == max(1, round(min(height, width) * size / max(height, width)))
    below, right = size - rows.stop, size - columns.stop
    assert 0 <= below - rows.start <= 1
    assert 0 <= right - columns.start <= 1


def test_placement_refuses_an_image_without_pixels():
    with pytest.raises(ValueError, match="0x5"):
        Placement(5, 0, 16)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_padding_is_zero_and_a_constant_stays_constant(height, width):
    square = geometry.resize_and_pad(np.full((height, width, 3), 200, np.uint8), 64)
    window = Placement(height, width, 64).window
    assert square.shape == (64, 64, 3)
    assert square.dtype == np.uint8
    assert (square[window] == 200).all()
    square[window] = 0
    assert not square.any()


@pytest.mark.parametrize(("height", "width"), [(480, 360), (300, 512), (64, 64), (90, 31), (1, 1)])
def test_a_smooth_map_survives_the_round_trip(height, width):
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    ramp = 0.3 * rows / height - 0.7 * columns / width
    square = geometry.resize_and_pad(ramp, 512)
    back = geometry.response_on_image(square, Placement(height, width, 512))
    assert back.shape == (height, width)
    # Bilinear interpolation reproduces a ramp except next to the border, where pixels repeat.
    border = slice(2, -2) if min(height, width) > 4 else slice(None)
    assert np.abs(back - ramp)[border, border].max() < 1e-3


@pytest.mark.parametrize(("height", "width"), [(480, 360), (100, 512), (3000, 4000), (1, 1)])
def test_a_mask_survives_the_round_trip(height, width):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    square = geometry.resize_and_pad_mask(mask, 512)
    placement = Placement(height, width, 512)
    back = geometry.response_on_image(square.astype(np.float32) - 0.5, placement) > 0
    perimeter = 2 * sum(side.sum() for side in (mask.any(axis=0), mask.any(axis=1)))
    assert (back != mask).sum() <= 1.1 * perimeter * max(1, max(height, width) / 512)


@pytest.mark.parametrize("rule", ["any", "majority"])
@pytest.mark.parametrize(("size", "cells"), [(512, 16), (128, 4), (8, 8), (6, 1)])
def test_coarse_label_equals_a_block_reduction(size, cells, rule):
    noise = np.random.RandomState(size).rand(size, size)
    mask = scipy.ndimage.gaussian_filter(noise, size / 64) > noise.mean() + 0.02
    reduce, block = {"any": (np.max, 0), "majority": (np.mean, 0.5)}[rule], size // cells
    function, threshold = reduce
    expected = skimage.measure.block_reduce(mask.astype(float), (block, block), function)
    np.testing.assert_array_equal(
        geometry.coarse_label(mask, cells, rule), expected > threshold
    )


def test_half_a_cell_is_not_the_majority():
    assert not geometry.coarse_label(np.eye(2, dtype=bool), 1, "majority").any()
    assert geometry.coarse_label(np.eye(2, dtype=bool), 1, "any").all()


def test_coarse_label_refuses_what_does_not_divide():
    with pytest.raises(ValueError, match="3x3 cells"):
        geometry.coarse_label(np.zeros((8, 8), bool), 3)
    with pytest.raises(ValueError, match="'most'"):
        geometry.coarse_label(np.zeros((8, 8), bool), 4, "most")


def test_net_input_subtracts_the_mean_from_padding_too():
    square = np.zeros((4, 4, 3), np.uint8)
    square[1] = (104, 117, 124)
    result = geometry.net_input(square)
    assert result.dtype == np.float32
    assert result.shape == (3, 4, 4)
    np.testing.assert_allclose(result[:, 0, 0], [-103.939, -116.779, -123.68])
    np.testing.assert_allclose(result[:, 1, 2], [0.061, 0.221, 0.32], atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(48, 36), (36, 48), (100, 70), (1, 1), (300, 12)])
def test_response_map_on_the_image_equals_scipy(height, width):
    placement = Placement(height, width, 64)
    score = np.random.RandomState(0).randn(64, 64).astype(np.float32)
    inner = score[placement.window]
    zoom_rows, zoom_columns = inner.shape[0] / height, inner.shape[1] / width
    rows = (np.arange(height) + 0.5) * zoom_rows - 0.5
    columns = (np.arange(width) + 0.5) * zoom_columns - 0.5
    expected = scipy.ndimage.map_coordinates(
        inner, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    np.testing.assert_allclose(geometry.response_on_image(score, placement), expected, atol=1e-4)


def test_coarse_response_map_is_upsampled_bilinearly():
    coarse = np.random.RandomState(1).randn(16, 16).astype(np.float32)
    expected = skimage.transform.resize(coarse, (512, 512), order=1, mode="edge")
    result = geometry.response_on_image(coarse, Placement(512, 512, 512))
    np.testing.assert_allclose(result, expected, atol=1e-4)

