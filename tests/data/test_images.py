"""Pictures of every kind, against Pillow as the independent decoder, and files that are none."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from objseg.data.images import MAX_PIXELS, ImageError, read_image, shrink, write_png

RANDOM = np.random.RandomState(0)
COLOUR = cv2.GaussianBlur(RANDOM.randint(0, 256, (40, 30, 3)).astype(np.uint8), (0, 0), 1.5)
ALPHA = np.dstack([COLOUR, RANDOM.randint(0, 256, (40, 30)).astype(np.uint8)])

KINDS = {
    ".png": "RGB L LA P 1",
    ".jpg": "RGB L CMYK",
    ".bmp": "RGB L P 1",
    ".tif": "RGB L LA P 1 CMYK",
    ".webp": "RGB L",
}


def save(path, picture, **options):
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("ending", "mode"),
    [(ending, mode) for ending, modes in KINDS.items() for mode in modes.split()],
)
def test_equals_pillow(tmp_path, ending, mode):
    path = save(tmp_path / f"a{ending}", Image.fromarray(COLOUR).convert(mode))
    with Image.open(path) as opened:
        expected = np.array(opened.convert("RGB"))[..., ::-1]
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= 2


def test_progressive_jpeg_and_bytes_behind_the_end(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOUR), progressive=True, quality=90)
    expected = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0trailer of a camera\0" * 9)
    np.testing.assert_array_equal(read_image(path), expected)


def test_alpha_is_dropped(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(ALPHA))
    np.testing.assert_array_equal(read_image(path), COLOUR[..., ::-1])


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)])
def test_sixteen_bits_keep_the_upper_eight(tmp_path, shape):
    deep = RANDOM.randint(0, 65536, shape).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    expected = deep >> 8 if deep.ndim == 3 else np.dstack([deep >> 8] * 3)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_only_when_asked_for(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if ending == ".jpg" else {"lossless": True}
    path = save(tmp_path / f"a{ending}", Image.fromarray(COLOUR), exif=exif, **options)
    with Image.open(path) as opened:
        stored = np.array(opened)[..., ::-1]
        upright = np.array(ImageOps.exif_transpose(opened))[..., ::-1]
    for oriented, expected in (False, stored), (True, upright):
        read = read_image(path, oriented=oriented)
        assert read.shape == expected.shape and np.abs(read.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("oriented", [False, True])
def test_a_tiff_is_always_upright(tmp_path, oriented):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.tif", Image.fromarray(COLOUR), exif=exif)
    upright = np.rot90(COLOUR[..., ::-1], -1)
    np.testing.assert_array_equal(read_image(path, oriented=oriented), upright)


def test_one_pixel(tmp_path):
    path = save(tmp_path / "a.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    assert read_image(path).tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_truncated_jpeg_is_refused(tmp_path, kept, progressive):
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOUR), progressive=progressive)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ImageError, match=r"a\.jpg.*(truncated|damaged)"):
        read_image(path)


NOISE = cv2.GaussianBlur(RANDOM.randint(0, 256, (240, 320, 3)).astype(np.uint8), (0, 0), 3)


def hole(data, thumbnail):
    """Leave out a block, as an aborted download of several connections does."""
    start, end = len(data) // 3, len(data) * 2 // 3
    return data[:start] + bytes(end - start) + data[end:]


def repeated(data, thumbnail):
    start = len(data) // 2
    return data[:start] + data[:2048] + data[start + 2048:]


def cut_with_an_end(data, thumbnail):
    return data[: len(data) // 2] + b"\xff\xd9"


def cut_before_another(data, thumbnail):
    return data[: len(data) // 2] + thumbnail


@pytest.mark.parametrize("damage", [hole, repeated, cut_with_an_end, cut_before_another])
@pytest.mark.parametrize("options", [
    {}, {"progressive": True}, {"quality": 98}, {"restart_marker_rows": 1},
])
def test_a_damaged_jpeg_that_ends_well_is_refused(tmp_path, options, damage, capfd):
    path = save(tmp_path / "a.jpg", Image.fromarray(NOISE), **options)
    thumbnail = save(tmp_path / "b.jpg", Image.fromarray(NOISE[::8, ::8])).read_bytes()
    assert read_image(path).shape == NOISE.shape
    path.write_bytes(damage(path.read_bytes(), thumbnail))
    with pytest.raises(ImageError, match=r"a\.jpg.*damaged"):
        read_image(path)
    assert "Corrupt JPEG" not in capfd.readouterr().err


@pytest.mark.parametrize(("stray", "harmless"), [(1, True), (99, True), (200, False)])
def test_a_few_stray_bytes_behind_the_last_pixel_do_no_harm(tmp_path, stray, harmless):
    path = save(tmp_path / "a.jpg", Image.fromarray(NOISE))
    data, expected = path.read_bytes(), read_image(path)
    path.write_bytes(data[:-2] + b"\x55" * stray + data[-2:])
    if harmless:
        np.testing.assert_array_equal(read_image(path), expected)
    else:
        with pytest.raises(ImageError, match="extraneous bytes"):
            read_image(path)


def test_whole_thumbnail_does_not_hide_a_truncated_jpeg(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOUR))
    data, thumbnail = path.read_bytes(), io.BytesIO()
    Image.fromarray(COLOUR[:8, :8]).save(thumbnail, "JPEG")
    segment = b"Exif\0\0" + thumbnail.getvalue()
    segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    path.write_bytes(data[:2] + segment + data[2:])
    assert read_image(path).shape == COLOUR.shape
    path.write_bytes(data[:2] + segment + data[2:-30])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".bmp"])
def test_truncated_files_of_other_kinds_are_refused(tmp_path, ending):
    path = save(tmp_path / f"a{ending}", Image.fromarray(COLOUR))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"%PDF-1.4 not a picture", "not a picture"), (b"\xff\xd8", "damaged")],
)
def test_foreign_files_are_refused(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_a_picture_too_large_to_hold_is_refused(tmp_path):
    path = save(tmp_path / "a.bmp", Image.new("RGB", (4, 4)))
    data = bytearray(path.read_bytes())
    data[18:26] = (90000).to_bytes(4, "little") * 2  # width and height in the header
    path.write_bytes(data)
    with pytest.raises(ImageError, match="OpenCV refuses"):
        read_image(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("picture", [COLOUR, COLOUR[..., 0]])
def test_a_written_png_is_the_same(tmp_path, picture):
    write_png(tmp_path / "folder" / "a.png", picture)
    with Image.open(tmp_path / "folder" / "a.png") as opened:
        expected = picture if picture.ndim == 2 else picture[..., ::-1]
        assert np.array_equal(np.array(opened), expected)


def test_large_pictures_are_reduced_and_others_left_alone():
    assert shrink(COLOUR) is COLOUR
    exact = np.zeros((MAX_PIXELS // 500, 500, 3), np.uint8)
    assert shrink(exact) is exact
    for height, width in (3000, 4000), (501, 500), (1, MAX_PIXELS + 1):
        small = shrink(np.full((height, width, 3), 7, np.uint8))
        assert small.shape[0] * small.shape[1] <= MAX_PIXELS and (small == 7).all()
        assert small.shape[0] == max(1, int(height * (MAX_PIXELS / (height * width)) ** 0.5))


def test_a_path_that_is_not_utf8_is_written(tmp_path):
    path = tmp_path / "se\udcfcg" / "mask.png"
    write_png(path, COLOUR)
    np.testing.assert_array_equal(read_image(path), COLOUR)
