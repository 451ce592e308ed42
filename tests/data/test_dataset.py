import hashlib
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.io

from objseg.data.dataset import VERSION, Dataset, DatasetError
from objseg.data.expressions import SPECIALS, Vocabulary
from objseg.data.masks import (
    MaskError,
    bounding_box,
    load_masks,
    load_note,
    read_mat,
    resize_nearest,
    save_masks,
)
from objseg.files import REPOSITORY

WORDS = Vocabulary([*SPECIALS, "sky"])


def entry(file, split):
    return {"file": file, "width": 4, "height": 3, "split": split, "sha256": "", "masks": ""}


INDEX = {
    "version": VERSION,
    "raw": "../raw",
    "image_dir": "../raw/images",
    "min_count": 2,
    "about": {},
    "vocabulary": hashlib.sha256(WORDS.text.encode()).hexdigest(),
    "images": {
        "9": entry("9.jpg", "train"),
        "2": entry("2.png", "train"),
        "5": entry("5.jpg", "val"),
        "1": entry("1.jpg", "test"),
    },
    "regions": {
        "2_1": {"image": "2", "box": [0, 0, 3, 2], "expressions": ["sky"]},
        "9_1": {"image": "9", "box": [1, 0, 2, 2], "expressions": ["sea", "the sea"]},
        "9_2": {"image": "9", "box": [0, 0, 0, 0], "expressions": ["boat"]},
        "5_1": {"image": "5", "box": [0, 0, 0, 0], "expressions": ["car"]},
    },
}


def masks_of(dataset, name):
    """Read the masks of the image called ``name``."""
    (image,) = [image for image in dataset.all_images() if image.id == name]
    return dataset.masks(image)


@pytest.fixture
def prepared(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(INDEX))
    WORDS.save(folder / "vocabulary.txt")
    return folder


def test_images_keep_the_order_of_the_split_list(prepared):
    dataset = Dataset(prepared)
    order = {split: [image.id for image in dataset.images(split)]
             for split in ("train", "val", "trainval", "test")}
    assert order == {"train": ["9", "2"], "val": ["5"], "trainval": ["9", "2", "5"], "test": ["1"]}
    assert dataset.name == "small" and len(dataset.vocabulary) == 5


def test_images_know_their_file_size_and_regions(prepared, tmp_path):
    image = Dataset(prepared).images("train")[0]
    assert image.path == (tmp_path / "raw" / "images" / "9.jpg").resolve()
    assert (image.width, image.height) == (4, 3)
    assert [(region.id, region.box) for region in image.regions] == \
        [("9_1", (1, 0, 2, 2)), ("9_2", (0, 0, 0, 0))]


def test_samples_go_by_image_region_and_expression(prepared):
    samples = Dataset(prepared).samples("trainval")
    assert [(sample.image.id, sample.region.id, sample.expression) for sample in samples] == [
        ("9", "9_1", "sea"), ("9", "9_1", "the sea"), ("9", "9_2", "boat"), ("2", "2_1", "sky"),
        ("5", "5_1", "car"),
    ]
    assert Dataset(prepared).samples("test") == []


def test_an_unknown_split_is_refused(prepared):
    message = "no split 'dev'; expected one of train, val, trainval, test"
    with pytest.raises(DatasetError, match=message):
        Dataset(prepared).images("dev")


def test_masks_come_by_region(prepared):
    masks = {"9_1": np.eye(3, 4, dtype=bool), "9_2": np.zeros((3, 4), bool)}
    digest = save_masks(prepared / "masks" / "9.npz", masks, (3, 4))
    nine = {**INDEX["images"]["9"], "masks": digest}
    index = {**INDEX, "images": {**INDEX["images"], "9": nine}}
    (prepared / "index.json").write_text(json.dumps(index))
    loaded = masks_of(Dataset(prepared), "9")
    assert list(loaded) == ["9_1", "9_2"]
    np.testing.assert_array_equal(loaded["9_1"], masks["9_1"])


def test_errors_name_the_file_and_a_command_that_makes_it(prepared, tmp_path, monkeypatch):
    dataset = Dataset(prepared)
    again = f"prepare_referit.py --raw {tmp_path / 'raw'} --out {prepared}$"
    with pytest.raises(DatasetError, match=f"9.npz does not exist; run again: .*{again}"):
        masks_of(dataset, "9")
    (prepared / "masks").mkdir()
    (prepared / "masks" / "9.npz").write_bytes(b"PK broken")
    with pytest.raises(DatasetError, match=f"9.npz: not a file of packed masks.*{again}"):
        masks_of(dataset, "9")
    monkeypatch.chdir(tmp_path)
    (prepared / "index.json").write_text("{}")
    with pytest.raises(DatasetError, match="--raw RAW_FOLDER .* RAW_FOLDER holds images/, mask/"):
        Dataset(prepared)
    (prepared / "index.json").write_text(json.dumps({**INDEX, "version": 0, "min_count": 7}))
    with pytest.raises(DatasetError, match="--raw raw --out small --min-count 7$"):
        Dataset(Path("small"))


@pytest.mark.parametrize("name, first", [
    ("demo", "python tools/make_demo_data.py && "), ("referit", "python tools/download.py --all "),
])
def test_the_data_sets_of_the_readme_are_made_from_nothing(name, first, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=FileNotFoundError))
    with pytest.raises(DatasetError, match=f"make it with: {first}.*python tools/prepare_referit"):
        Dataset(REPOSITORY / "data" / name)


def test_other_words_than_the_index_s_are_refused(prepared):
    dataset = Dataset(prepared)
    Vocabulary([*SPECIALS, "sea"]).save(prepared / "vocabulary.txt")
    with pytest.raises(DatasetError, match="vocabulary.txt: missing, or not the words .*prepare"):
        dataset.vocabulary  # noqa: B018


def test_the_identity_is_that_of_the_content(prepared, tmp_path):
    def identity(folder=prepared, **changes):
        (folder / "index.json").write_text(json.dumps({**INDEX, **changes}))
        return Dataset(folder).identity

    first, other = identity(), tmp_path / "elsewhere"
    shutil.copytree(prepared, other)
    assert identity(other, image_dir="/photographs", raw="/", about={"images": "drawn"}) == first
    images, regions = INDEX["images"], INDEX["regions"]
    altered = [identity(vocabulary="0"), identity(images=dict(reversed(images.items())))]
    altered += [
        identity(images={**images, "9": {**images["9"], key: value}})
        for key, value in (("sha256", "0"), ("masks", "0"), ("split", "test"), ("width", 5))
    ]
    altered += [
        identity(regions={**regions, "5_1": {**regions["5_1"], key: value}})
        for key, value in (("box", [0, 0, 1, 1]), ("expressions", ["truck"]))
    ]
    assert len({first, *altered}) == 1 + len(altered)


@pytest.mark.parametrize("content, message", [
    ("", "not a readable index"),
    ('{"version": 3', "not a readable index"),
    ("[]", "version list, expected 3"),
    ('{"version": 7}', "version 7, expected 3"),
    ('{"version": 3, "image_dir": null}', "incomplete"),
    (json.dumps(dict(INDEX, regions={"7_1": {"image": "7"}})), "incomplete"),
])
def test_a_broken_index_is_refused(prepared, content, message):
    (prepared / "index.json").write_text(content)
    with pytest.raises(DatasetError, match=f"index.json: {message}"):
        Dataset(prepared)


def test_annotations_only_has_neither_masks_nor_images(prepared):
    (prepared / "index.json").write_text(json.dumps(dict(INDEX, image_dir=None)))
    dataset = Dataset(prepared)
    image = dataset.images("train")[0]
    assert image.path is None
    for read, what in ((dataset.masks, "masks"), (dataset.pixels, "images")):
        message = f"with --annotations-only, so it has no {what}.* run: .* --out [^ ]*$"
        with pytest.raises(DatasetError, match=message):
            read(image)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 8), (37, 53), (1, 4000)])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_masks_survive_the_round_trip(tmp_path, shape, count):
    random = np.random.RandomState(0)
    masks = {f"1_{number}": random.rand(*shape) < random.rand() for number in range(count)}
    save_masks(tmp_path / "1.npz", masks, shape, note="café")
    loaded = load_masks(tmp_path / "1.npz")
    assert list(loaded) == list(masks) and load_note(tmp_path / "1.npz")[0] == "café"
    for region, mask in masks.items():
        assert loaded[region].dtype == bool
        np.testing.assert_array_equal(loaded[region], mask)


def test_save_masks_refuses_another_shape(tmp_path):
    with pytest.raises(MaskError, match="1_1"):
        save_masks(tmp_path / "1.npz", {"1_1": np.ones((2, 2), bool)}, (3, 3))
    assert not list(tmp_path.iterdir())


def test_a_damaged_mask_file_is_refused_or_right(tmp_path):
    path = tmp_path / "1.npz"
    mask = np.random.RandomState(0).rand(9, 9) < 0.5
    save_masks(path, {"1_1": mask}, mask.shape, note="note")
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        for damaged in (whole[:position],
                        whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1:]):
            path.write_bytes(damaged)
            try:
                loaded = load_masks(path)
            except MaskError:
                continue
            np.testing.assert_array_equal(loaded.get("1_1"), mask)


@pytest.mark.parametrize("pixels, box", [
    ([(2, 5)], [5, 2, 5, 2]),
    ([(0, 0), (6, 8)], [0, 0, 8, 6]),
    ([(1, 3), (4, 2)], [2, 1, 3, 4]),
])
def test_boxes_are_inclusive(pixels, box):
    mask = np.zeros((7, 9), bool)
    mask[tuple(zip(*pixels))] = True
    assert bounding_box(mask) == box


def test_boxes_of_nothing_and_of_everything():
    assert bounding_box(np.zeros((7, 9), bool)) is None
    assert bounding_box(np.ones((7, 9), bool)) == [0, 0, 8, 6]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint16", "float32", "float64", bool])
@pytest.mark.parametrize("compressed", [True, False])
def test_zero_is_the_region_in_every_type(tmp_path, dtype, compressed):
    mask = np.eye(4, 6) > 0
    scipy.io.savemat(
        tmp_path / "m.mat", {"segimg_t": np.where(mask, 0, 1).astype(dtype)},
        do_compression=compressed,
    )
    read = read_mat(tmp_path / "m.mat")
    assert read.dtype == bool
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize("content, message", [
    ({"other": np.zeros((2, 2))}, "no variable 'segimg_t'"),
    ({"segimg_t": np.zeros((2, 2, 3))}, r"shape \(2, 2, 3\)"),
    ({"segimg_t": np.zeros((0, 0))}, r"shape \(0, 0\)"),
    ({"segimg_t": "text"}, "expected a matrix of numbers"),
    ({"segimg_t": {"field": 1.0}}, "expected a matrix of numbers"),
    ({"segimg_t": scipy.sparse.eye(3)}, "expected a matrix of numbers"),
])
def test_a_mat_file_of_something_else_is_refused(tmp_path, content, message):
    scipy.io.savemat(tmp_path / "m.mat", content)
    with pytest.raises(MaskError, match=rf"m.mat: .*{message}"):
        read_mat(tmp_path / "m.mat")


def test_a_corrupted_mat_file_is_refused(tmp_path):
    path = tmp_path / "m.mat"
    scipy.io.savemat(path, {"segimg_t": np.zeros((50, 50))}, do_compression=True)
    whole = path.read_bytes()
    for content in (b"", b"no", b"x" * 500, whole[:100], whole[:150], whole[:-9],
                    whole[:160] + b"\xff" * 40 + whole[200:]):
        path.write_bytes(content)
        with pytest.raises(MaskError, match="m.mat"):
            read_mat(path)
    with pytest.raises(MaskError, match="none.mat"):
        read_mat(tmp_path / "none.mat")


def test_resizing_takes_the_nearest_pixel():
    mask = np.array([[1, 0], [0, 1]], bool)
    enlarged = np.kron(mask, np.ones((2, 3), bool)) > 0
    np.testing.assert_array_equal(resize_nearest(mask, 4, 6), enlarged)
    assert resize_nearest(mask, 2, 2) is mask
