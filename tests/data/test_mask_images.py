import cv2
import numpy as np
import pytest
from support.raw_data import Raw

from objseg.data.dataset import Dataset
from objseg.data.masks import MaskError, read_mask_image
from objseg.data.prepare import prepare

MASK = np.random.RandomState(0).rand(12, 17) < 0.4


def palette_png(mask):
    """Return a PNG whose pixels are 0 and 1 of a palette, as many labelling tools write."""
    from PIL import Image
    image = Image.fromarray(np.uint8(mask))
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


@pytest.mark.parametrize("pixels", [
    np.uint8(MASK) * 255, np.uint8(MASK), np.uint16(MASK) * 65535,
    np.uint8(MASK)[:, :, None] * np.uint8([0, 0, 128]),
    np.dstack([np.uint8(MASK)[:, :, None] * np.uint8([9, 200, 30]), np.full(MASK.shape, 255)]),
])
def test_black_is_outside_whatever_the_depth_and_colour(tmp_path, pixels):
    path = tmp_path / "mask.png"
    assert cv2.imwrite(str(path), pixels)
    np.testing.assert_array_equal(read_mask_image(path), MASK)


def test_a_png_with_a_palette_or_one_bit_is_read(tmp_path):
    from PIL import Image
    for image in palette_png(MASK), Image.fromarray(MASK):
        image.save(tmp_path / "mask.png")
        np.testing.assert_array_equal(read_mask_image(tmp_path / "mask.png"), MASK)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_nothing_or_everything_is_read(tmp_path, value):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((5, 6), value, np.uint8))
    assert (read_mask_image(tmp_path / "mask.png") == bool(value)).all()


def shades():
    pixels = np.uint8(MASK) * 255
    pixels[3, 4:7] = 128
    return pixels


def test_a_picture_of_fractions_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.tiff"), np.dstack([np.float32(MASK)] * 4))
    with pytest.raises(MaskError, match="mask.tiff: not a picture of 8 or 16 bits"):
        read_mask_image(tmp_path / "mask.tiff")


@pytest.mark.parametrize("pixels, message", [
    (shades(), "not binary: has 2 colours beside black"),
    (np.dstack([np.uint8(MASK)] * 3 + [np.uint8(MASK) * 255]), "transparent"),
])
def test_what_is_not_binary_is_refused(tmp_path, pixels, message):
    cv2.imwrite(str(tmp_path / "mask.png"), pixels)
    with pytest.raises(MaskError, match=f"mask.png: .*{message}"):
        read_mask_image(tmp_path / "mask.png")


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    path = tmp_path / "mask.png"
    with pytest.raises(MaskError, match="mask.png: No such file"):
        read_mask_image(path)
    cv2.imwrite(str(path), np.uint8(np.random.RandomState(1).rand(300, 300) < 0.5) * 255)
    whole = path.read_bytes()
    for content in b"", b"GIF89a?", whole[:len(whole) // 2]:
        path.write_bytes(content)
        with pytest.raises(MaskError, match="mask.png: not a picture"):
            read_mask_image(path)


def test_masks_of_a_raw_data_set_may_be_png(tmp_path):
    raw = Raw(tmp_path / "raw")
    prepare(raw.folder, tmp_path / "of mat", workers=1)
    expected = Dataset(tmp_path / "of mat")
    for image in expected.all_images():
        for region, mask in expected.masks(image).items():
            (raw.folder / "mask" / f"{region}.mat").unlink()
            cv2.imwrite(str(raw.folder / "mask" / f"{region}.png"), np.uint8(mask) * 255)
    prepare(raw.folder, tmp_path / "of png", workers=1)
    assert Dataset(tmp_path / "of png").identity == expected.identity


def test_two_mask_files_of_a_region_are_refused(tmp_path):
    raw = Raw(tmp_path / "raw")
    cv2.imwrite(str(raw.folder / "mask" / "1_2.png"), np.zeros((6, 8), np.uint8))
    index = prepare(raw.folder, tmp_path / "set", workers=1)
    (entry,) = index["skipped"]
    assert entry["what"] == "region 1_2" and "1_2.mat and " in entry["detail"]
    assert "1_2.png are both there" in entry["detail"]
