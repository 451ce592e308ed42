import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from support.advice import check_advice
from support.raw_data import GAMES, Raw

from objseg.data.about import About
from objseg.data.dataset import Dataset, DatasetError
from objseg.data.expressions import SPECIALS, Vocabulary
from objseg.data.frequent_words import FrequentWords
from objseg.data.packing import PrepareError
from objseg.data.prepare import prepare
from objseg.data.raw import AnnotationError, read_annotations
from objseg.data.summary import describe
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.parallel.prefetch import WorkerError

SHARED = Path(os.environ.get("OBJSEG_SHARED", REPOSITORY.parent / "shared"))


def masks_of(dataset, name):
    """Read the masks of the image called ``name``."""
    (image,) = [image for image in dataset.all_images() if image.id == name]
    return dataset.masks(image)


@pytest.fixture
def raw(tmp_path):
    return Raw(tmp_path / "raw")


@pytest.fixture
def ready(raw, tmp_path):
    """Prepare the raw data set and return (index, Dataset)."""
    def run(**settings):
        index = prepare(raw.folder, tmp_path / "out", **{"workers": 1, **settings})
        return index, Dataset(tmp_path / "out")
    return run


def reasons(index):
    return {(entry["what"], entry["reason"]) for entry in index["skipped"]}


def test_the_prepared_set_holds_what_the_raw_one_says(ready):
    index, dataset = ready(min_count=1)
    assert [image.id for image in dataset.images("trainval")] == ["2", "1", "3"]
    assert [(sample.region.id, sample.expression) for sample in dataset.samples("trainval")] == [
        ("2_2", "sky on top"), ("2_10", "tree"), ("1_1", "sky"), ("1_2", "red car"),
        ("1_2", "red car"), ("3_1", "tree"),
    ]
    image = dataset.images("train")[1]
    assert image.path.is_file() and (image.width, image.height) == (8, 6)
    assert image.regions[1].box == (1, 1, 2, 2)
    assert masks_of(dataset, "1")["1_2"].nonzero()[1].tolist() == [1, 2, 1, 2]
    assert dataset.vocabulary.words[4:] == ("car", "red", "sky", "tree", "on", "top")
    assert index["skipped"] == [] and index["summary"]["notes"] == {}
    assert index["summary"]["splits"]["trainval"] == {
        "images": 3, "regions": 5, "expressions": 6,
        "skipped images": 0, "skipped regions": 0, "skipped expressions": 0,
    }
    assert (dataset.directory / "summary.txt").read_text() == describe("out", index["summary"])


def test_workers_do_not_change_a_byte(raw, tmp_path):
    for workers in 1, 3:
        prepare(raw.folder, tmp_path / str(workers) / "set", workers=workers)
    paths = sorted(path.relative_to(tmp_path / "1")
                   for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(paths) == 3 + 4
    for path in paths:
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "3" / path).read_bytes()


# The pitfalls of images and masks


def test_gray_transparent_and_other_files_are_images(raw, ready):
    raw.image("1.jpg", np.zeros((6, 8), np.uint8))
    (raw.folder / "images" / "2.jpg").unlink()
    raw.image("2.png", np.zeros((6, 8, 4), np.uint8))
    index, dataset = ready()
    assert not index["skipped"] and dataset.images("train")[0].path.name == "2.png"


@pytest.mark.parametrize("content, reason", [
    (None, "image missing"), (b"", "image unreadable"), (b"GIF89a?", "image unreadable"),
    ("half", "image unreadable"),
])
def test_an_unusable_image_is_skipped_with_its_samples(raw, ready, content, reason):
    path = raw.folder / "images" / "1.jpg"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[:len(whole) // 2] if content == "half" else content)
    index, dataset = ready()
    assert [image.id for image in dataset.images("train")] == ["2"]
    assert index["summary"]["splits"]["train"] == {
        "images": 1, "regions": 2, "expressions": 2,
        "skipped images": 1, "skipped regions": 2, "skipped expressions": 3,
    }
    entry, = index["skipped"]
    assert (entry["what"], entry["reason"], entry["expressions"]) == ("image 1", reason, 3)
    assert str(path) in entry["detail"]
    summary = (dataset.directory / "summary.txt").read_text()
    assert f"\n{reason}: 1\n" in summary
    assert f"\nskipped: image 1: {reason}: {entry['detail']}\n" in summary


@pytest.mark.parametrize("spoil, reason", [
    (lambda raw, path: path.unlink(), "mask missing"),
    (lambda raw, path: path.write_bytes(b"x" * 300), "mask unreadable"),
    (lambda raw, path: path.write_bytes(path.read_bytes()[:150]), "mask unreadable"),
    (lambda raw, path: scipy.io.savemat(path, {"mask": np.zeros((6, 8))}), "mask unreadable"),
    (lambda raw, path: raw.mask("1_2", np.zeros((6, 8), bool)), "mask empty"),
])
def test_an_unusable_mask_is_skipped_with_its_samples(raw, ready, spoil, reason):
    spoil(raw, raw.folder / "mask" / "1_2.mat")
    index, dataset = ready()
    assert list(masks_of(dataset, "1")) == ["1_1"]
    assert [region.id for region in dataset.images("train")[1].regions] == ["1_1"]
    assert reasons(index) == {("region 1_2", reason)}
    assert index["summary"]["splits"]["train"]["skipped expressions"] == 2
    assert index["summary"]["notes"][reason] == 1


def test_a_mask_of_everything_is_a_region(raw, ready):
    raw.mask("1_2", np.ones((6, 8), bool))
    _, dataset = ready()
    assert dataset.images("train")[1].regions[1].box == (0, 0, 7, 5)
    assert masks_of(dataset, "1")["1_2"].all()


def test_a_mask_of_another_size_is_resized_to_its_image(raw, ready):
    mask = np.zeros((12, 16), bool)
    mask[4:8, 2:6] = True
    raw.mask("1_2", mask, "float64")
    index, dataset = ready()
    assert masks_of(dataset, "1")["1_2"].shape == (6, 8)
    assert dataset.images("train")[1].regions[1].box == (1, 2, 2, 3)
    assert index["summary"]["notes"] == {"mask resized to its image": 1}


# The pitfalls of annotations


def test_windows_line_ends_change_nothing(raw, ready):
    expected, _ = ready()
    for name, images in ("train", "2 1"), ("val", "3"), ("test", "4"):
        raw.split(name, images, end="\r\n")
    raw.games(GAMES, end="\r\n")
    assert ready()[0] == expected


def test_latin_1_bytes_are_read_and_counted(raw, ready):
    raw.games(GAMES + ["1_1.jpg~café~.1~.1"], encoding="latin-1")
    index, dataset = ready()
    assert dataset.samples("train")[3].expression == "café"
    assert index["summary"]["notes"] == {"line read as Latin-1": 1}


def test_a_tilde_may_stand_in_an_expression(raw, ready):
    raw.games(GAMES + ["1_1.jpg~ ~50 birds~ ~.1~.1"])
    assert ready()[1].samples("train")[3].expression == "~50 birds~"


@pytest.mark.parametrize("line, reason", [
    ("", None),
    ("1_1.jpg", "malformed line"),
    ("1_1.jpg~sky", "malformed line"),
    ("1_1.jpg~sky~.1", "malformed line"),
    ("1_1.jpg~sky~left~.1", "malformed line"),
    ("1.jpg~sky~.1~.1", "malformed line"),
    ("../1_1.jpg~sky~.1~.1", "malformed line"),
    ("1_1~sky~.1~.1", "malformed line"),
    ("1_1.jpg~  ~.1~.1", "blank expression"),
    (GAMES[0], "repeated line"),
])
def test_a_bad_line_is_passed_over_with_its_number(raw, ready, line, reason):
    raw.games(GAMES[:2] + [line] + GAMES[2:])
    index, dataset = ready()
    assert len(dataset.samples("trainval")) == 6
    assert reasons(index) == ({("RealGames.txt, line 3", reason)} if reason else set())
    assert index["summary"]["notes"] == ({reason: 1} if reason else {})


def test_an_expression_of_punctuation_stays_a_sample(raw, ready):
    raw.games(GAMES + ["1_1.jpg~.~.1~.1", "1_1.jpg~?!~.1~.1"])
    index, dataset = ready()
    assert [sample.expression for sample in dataset.samples("train")[3:5]] == [".", "?!"]
    assert index["summary"]["without a token"] == 1


def test_images_without_expressions_are_counted(raw, ready):
    raw.games([line for line in GAMES if not line.startswith("3_")])
    index, dataset = ready()
    assert index["summary"]["notes"] == {"image without expression": 1}
    assert dataset.images("val")[0].regions == () and dataset.samples("val") == []
    assert masks_of(dataset, "3") == {}


def test_images_outside_the_splits_are_counted(raw, ready):
    raw.games(GAMES + ["7_1.jpg~sky~.1~.1", "7_2.jpg~sea~.1~.1"])
    index, _ = ready()
    assert reasons(index) == {("image 7", "annotated image in no split")}
    assert "7_1" not in index["regions"]


def test_an_image_in_two_splits_is_an_error(raw, ready):
    raw.split("test", "4 1")
    with pytest.raises(AnnotationError, match="image 1 is in the train list and in the test list"):
        ready()


def test_a_trainval_list_must_be_the_two_together(raw, ready):
    raw.split("trainval", "3 2 1")
    assert [image.id for image in ready()[1].images("trainval")] == ["2", "1", "3"]
    raw.split("trainval", "2 1")
    with pytest.raises(AnnotationError, match="1 images differ, the first is 3"):
        ready()


def test_trainval_stands_for_a_missing_train_list(raw, ready):
    (raw.folder / "split" / "referit_train_imlist.txt").unlink()
    raw.split("trainval", "3 2 1.jpg")
    assert [image.id for image in ready()[1].images("train")] == ["2", "1"]


def test_a_repeated_line_of_a_split_list_is_passed_over(raw, ready):
    raw.split("train", "2 1 2")
    index, dataset = ready()
    assert len(dataset.images("train")) == 2
    assert reasons(index) == \
        {("referit_train_imlist.txt, line 3", "repeated line of a split list")}


def test_a_split_list_cannot_lead_out_of_the_folder(raw, ready):
    raw.split("train", "2 ../1")
    with pytest.raises(AnnotationError, match="imlist.txt, line 2: '../1'"):
        ready()


# The authors' JSON files


def queries(raw):
    raw.json("query_train", {"1_2": ["red car", "red car "], "1_1": ["sky"], "2_2": ["a", " "],
                             "2_10": []})
    raw.json("query_trainval", {"1_2": ["red car", "red car "], "3_1": ["tree"]})
    raw.json("query_test", {"4_1": ["the sky."]})


def test_json_expressions_come_before_games(raw, ready):
    queries(raw)
    index, dataset = ready()
    assert [(sample.region.id, sample.expression) for sample in dataset.samples("trainval")] == [
        ("2_2", "a"), ("1_1", "sky"), ("1_2", "red car"), ("1_2", "red car"), ("3_1", "tree"),
    ]
    assert index["summary"]["source"] == "referit_query_*.json"
    assert index["summary"]["notes"] == {"blank expression": 1}


def test_json_boxes_and_sizes_are_checked_against_the_files(raw, ready):
    raw.json("bbox", {"1_1": [0, 1, 1, 2], "1_2": [0, 0, 0, 0], "1_9": [0, 0, 1, 1]})
    raw.json("imsize", {"1.jpg": [8, 6], "2.jpg": [6, 8]})
    index, _ = ready()
    assert index["regions"]["1_2"]["box"] == [1, 1, 2, 2]
    assert index["summary"]["notes"] == {
        "box other than in referit_bbox.json": 1,
        "size other than in referit_imsize.json": 1,
    }


def test_annotations_alone_make_an_index(raw, ready):
    queries(raw)
    for folder in "images", "mask":
        for path in (raw.folder / folder).iterdir():
            path.unlink()
        (raw.folder / folder).rmdir()
    with pytest.raises(PrepareError, match="images: no such folder.*--annotations-only"):
        ready()
    with pytest.raises(PrepareError, match="no referit_imsize.json"):
        ready(annotations_only=True)
    raw.json("imsize", {"1.jpg": [8, 6], "2.jpg": [8, 6], "4.jpg": [8, 6]})
    raw.json("bbox", {"1_1": [0, 0, 3, 2], "1_2": [0, 1, 1, 2], "4_1": [0, 0, 7, 5]})
    index, dataset = ready(annotations_only=True)
    assert dataset.annotations_only and index["summary"]["annotations only"]
    assert dataset.images("train")[1].regions[0].box == (0, 0, 3, 2)
    assert reasons(index) == {
        ("image 3", "no size in referit_imsize.json"),
        ("region 2_2", "no box in referit_bbox.json"),
        ("referit_query_train.json, region 2_2", "blank expression"),
    }


@pytest.mark.parametrize("name, text, message", [
    ("query_train", "{", "query_train.json: not a JSON file"),
    ("query_train", "[]", "query_train.json: holds a list, expected an object"),
    ("query_train", '{"1_1": "sky"}', "1_1: expected a list of texts"),
    ("query_train", '{"1_1": [3]}', "1_1: expected a list of texts"),
    ("query_train", '{"one": ["sky"]}', "region 'one', expected <image id>_<number>"),
    ("query_all", '{"4_1": ["sea"]}', "region 4_1 has other expressions"),
    ("bbox", '{"1_1": [1, 2]}', r"bbox.json: 1_1: \[1, 2\], expected 4 numbers"),
    ("bbox", '{"1_1": [1, 2, NaN, 4]}', "bbox.json: 1_1: .* expected 4 numbers"),
    ("imsize", '{"1.jpg": ["a", 2]}', "imsize.json: 1.jpg: .* expected 2 numbers"),
])
def test_a_broken_json_file_is_named(raw, name, text, message):
    queries(raw)
    (raw.folder / f"referit_{name}.json").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_annotations(raw.folder)


# Missing parts


def test_a_missing_folder_list_or_source_is_named(raw, tmp_path):
    with pytest.raises(AnnotationError, match="nowhere: no such folder"):
        read_annotations(tmp_path / "nowhere")
    (raw.folder / "RealGames.txt").unlink()
    with pytest.raises(AnnotationError, match="neither RealGames.txt nor"):
        read_annotations(raw.folder)
    for path in (raw.folder / "split").iterdir():
        path.unlink()
    with pytest.raises(AnnotationError, match="no split list"):
        read_annotations(raw.folder)


def test_nothing_usable_is_an_error_and_keeps_the_earlier_index(raw, ready, tmp_path):
    expected, _ = ready()
    for path in (raw.folder / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(PrepareError, match="no region .* image 2: image unreadable: .*2.jpg"):
        ready()
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == expected


def test_a_test_split_alone_has_no_vocabulary_unless_one_is_given(raw, ready):
    ready()
    for name in "train", "val":
        (raw.folder / "split" / f"referit_{name}_imlist.txt").unlink()
    _, dataset = ready()
    assert len(dataset.samples("test")) == 1
    with pytest.raises(DatasetError, match="no vocabulary; .* --vocabulary FILE"):
        dataset.vocabulary  # noqa: B018
    assert not (dataset.directory / "vocabulary.txt").exists()
    assert "no vocabulary" in (dataset.directory / "summary.txt").read_text()
    index, dataset = ready(vocabulary=Vocabulary(SPECIALS + ("sky",)))
    assert dataset.vocabulary.words == SPECIALS + ("sky",)
    assert index["summary"]["unknown test tokens"] == 1  # "the"


# Running again


def changed(folder, action):
    """Return the names of mask files that ``action`` writes anew."""
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    action()
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_finished_masks_are_kept_and_the_result_is_the_same(raw, ready, tmp_path):
    raw.mask("1_2", np.zeros((6, 8), bool))  # what was skipped is known in the second run too
    raw.mask("2_2", np.ones((12, 16), bool))
    expected, _ = ready()
    masks = tmp_path / "out" / "masks"
    again = []
    assert changed(masks, lambda: again.append(ready()[0])) == set()
    assert again == [expected]


def test_only_what_changed_is_made_anew(raw, ready, tmp_path):
    ready()
    masks = tmp_path / "out" / "masks"
    raw.mask("1_2", np.ones((6, 8), bool))
    raw.games(GAMES[:-1])  # the test image loses its only region
    (masks / "2.npz").write_bytes((masks / "2.npz").read_bytes()[:-30])
    assert changed(masks, ready) == {"1.npz", "2.npz", "4.npz"}
    assert masks_of(Dataset(tmp_path / "out"), "1")["1_2"].all()


def test_masks_of_images_that_left_the_set_are_removed(raw, ready, tmp_path):
    ready()
    masks = tmp_path / "out" / "masks"
    (masks / ".2-a1b2c3d4.npz").write_bytes(b"part of a file")
    (masks / "notes.txt").write_text("not ours")
    raw.split("train", "2")
    ready()
    assert {path.name for path in masks.iterdir()} == {"2.npz", "3.npz", "4.npz", "notes.txt"}


def test_an_interrupted_run_keeps_the_index_and_continues(raw, ready, tmp_path, monkeypatch):
    expected, _ = ready()
    from objseg.data import prepare as module
    real, calls = module.pack_image, []

    def interrupted(*task):
        calls.append(task)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*task)

    for path in (tmp_path / "out" / "masks").iterdir():
        path.unlink()
    monkeypatch.setattr(module, "pack_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ready()
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == expected
    monkeypatch.setattr(module, "pack_image", real)
    assert changed(tmp_path / "out" / "masks", ready) == {"3.npz", "4.npz"}
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_the_users_error(raw, ready, monkeypatch, workers):
    from objseg.data import packing as module

    def full(*_):
        raise OSError(28, "No space left on device", "1.npz")

    monkeypatch.setattr(module, "save_masks", full)
    with pytest.raises((OSError, UserError), match="No space left on device: '1.npz'"):
        ready(workers=workers)


def test_a_killed_worker_is_reported(raw, ready, monkeypatch):
    from objseg.data import referit as module
    monkeypatch.setitem(module.MASKS, ".mat", lambda path: os.kill(os.getpid(), 9))
    with pytest.raises(WorkerError, match="exit code -9.*memory ran out"):
        ready(workers=2)


def test_the_index_moves_with_the_checkout(tmp_path, monkeypatch):
    from objseg.data import prepare as module
    monkeypatch.setattr(module, "REPOSITORY", tmp_path / "checkout")
    raw = Raw(tmp_path / "checkout" / "data" / "raw" / "small")
    prepare(raw.folder, tmp_path / "checkout" / "data" / "small", workers=1)
    (tmp_path / "checkout").rename(tmp_path / "moved")
    dataset = Dataset(tmp_path / "moved" / "data" / "small")
    assert all(image.path.is_file() for image in dataset.images("trainval"))


# The tool


def tool(*arguments):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / "prepare_referit.py"), *map(str, arguments)],
        capture_output=True, text=True, errors="surrogateescape", timeout=60,
    )


def test_the_tool_prepares_prints_and_takes_a_vocabulary(raw, tmp_path):
    words = tmp_path / "words.txt"
    Vocabulary(SPECIALS + ("tree",)).save(words)
    done = tool("--raw", raw.folder, "--out", tmp_path / "out", "--workers", 2,
                "--vocabulary", words)
    assert done.returncode == 0, done.stderr
    assert "trainval           3         5            6" in done.stdout
    assert "prepare: 4/4 image" in done.stderr
    assert len(Dataset(tmp_path / "out").vocabulary) == 5


def test_the_tool_names_what_it_skipped(raw, tmp_path):
    raw.games(GAMES + ["?"] * 9)
    (raw.folder / "mask" / "1_2.mat").unlink()
    (raw.folder / "images" / "4.jpg").write_bytes(b"GIF89a?")
    done = tool("--raw", raw.folder, "--out", tmp_path / "out")
    lines = [line for line in done.stdout.splitlines() if line.startswith("skipped: ")]
    assert lines[0] == "skipped: RealGames.txt, line 8: malformed line"
    assert lines[-1] == f"skipped: 11 in all, listed in {tmp_path / 'out' / 'summary.txt'}"
    everything = (tmp_path / "out" / "summary.txt").read_text()
    assert len(lines) == 11 and all(line in everything for line in lines[:-1])
    assert everything.count("skipped: ") == 11 + 1 and "4.jpg: not a picture" in everything


@pytest.mark.parametrize("arguments, status, message", [
    (["--raw", "nowhere"], 1, "error: nowhere: no such folder"),
    (["--vocabulary", "none.txt"], 1, "error: none.txt: No such file"),
    (["--workers", "0"], 2, "0: expected an integer of at least 1"),
    (["--min-count", "-1"], 2, "-1: expected an integer of at least 1"),
])
def test_the_tool_fails_clearly(tmp_path, arguments, status, message):
    done = tool("--out", tmp_path / "out", *arguments)
    assert done.returncode == status and message in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


# Real data, where it is at hand


def shared(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def test_the_real_annotations_have_the_published_counts(tmp_path):
    index = prepare(shared("referit"), tmp_path / "referit", annotations_only=True)
    splits = index["summary"]["splits"]
    assert {split: (count["images"], count["expressions"]) for split, count in splits.items()} == {
        "train": (9000, 54134), "val": (1000, 5842), "trainval": (10000, 59976),
        "test": (10000, 60105),
    }
    assert index["summary"]["notes"] == {"image without expression": 11}
    assert index["summary"]["without a token"] == 0 and not index["skipped"]
    dataset = Dataset(tmp_path / "referit")
    assert dataset.about == About("photographs", "people", referit=True)
    test = [sample.expression for sample in dataset.samples("test")]
    assert len(test) == 60105
    # 2.83 % of the test samples in section 4.1, whose stop words are not known
    assert 0.023 < FrequentWords.of(dataset, 500).share_without(test) < 0.031


def test_real_photographs_are_prepared_whole(tmp_path):
    folder = shared("camvid_referit")
    index = prepare(folder, tmp_path / "set", workers=2)
    assert not index["skipped"] and not index["summary"]["notes"]
    dataset = Dataset(tmp_path / "set")
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [180, 30, 60]
    assert len(dataset.samples("trainval")) + len(dataset.samples("test")) == 2690
    image = dataset.images("test")[0]
    masks = dataset.masks(image)
    for region in image.regions:
        raw = scipy.io.loadmat(folder / "mask" / f"{region.id}.mat")["segimg_t"]
        np.testing.assert_array_equal(masks[region.id], raw == 0)


def test_a_stranger_s_masks_are_left_alone(raw, ready, tmp_path):
    masks = tmp_path / "out" / "masks"
    masks.mkdir(parents=True)
    (masks / "scan.npz").write_bytes(b"precious")
    np.savez(masks / "other.npz", ids=[1])
    ready()
    assert (masks / "scan.npz").read_bytes() == b"precious" and (masks / "other.npz").exists()


@pytest.mark.parametrize("save", [
    lambda path: path.write_bytes(b"precious"), lambda path: np.savez(path, mine=[1]),
])
def test_a_stranger_s_masks_are_not_replaced(ready, tmp_path, save):
    path = tmp_path / "out" / "masks" / "2.npz"
    path.parent.mkdir(parents=True)
    save(path)
    hidden = path.with_name(".hidden.npz")
    hidden.write_bytes(b"precious")
    before = path.read_bytes()
    with pytest.raises(PrepareError, match="2.npz: not written by this tool"):
        ready()
    assert path.read_bytes() == before
    path.unlink()
    ready()
    assert hidden.read_bytes() == b"precious"


def test_folders_that_are_not_utf8_work(raw, tmp_path):
    odd = tmp_path / "r\udcfcw"
    raw.folder.rename(odd)
    (odd / "mask" / "1_2.mat").unlink()  # is named in summary.txt
    done = tool("--raw", odd, "--out", tmp_path / "o\udcfct")
    assert done.returncode == 0, done.stderr
    dataset = Dataset(tmp_path / "o\udcfct")
    dataset.pixels_and_masks(dataset.images("test")[0])
    assert "tree" in dataset.vocabulary


def test_nothing_is_written_where_nothing_changed(raw, ready, tmp_path):
    ready()
    os.utime(raw.folder / "RealGames.txt", (2e9, 2e9))  # in 2033
    os.utime(raw.folder / "images" / "1.jpg")
    assert changed(tmp_path / "out", ready) == changed(tmp_path / "out" / "masks", ready) == set()


def test_a_killed_run_leaves_no_mix_of_words_and_index(raw, ready, tmp_path, monkeypatch):
    from objseg.data import prepare as module
    _, dataset = ready()
    raw.games(GAMES + GAMES[1:2])
    real = module._replace

    def killed(path, content):
        if path.name == "index.json":
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(module, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ready(min_count=1)
    with pytest.raises(DatasetError, match="vocabulary.txt: .*not the words .*prepare again with"):
        Dataset(tmp_path / "out").vocabulary  # noqa: B018
    monkeypatch.setattr(module, "_replace", real)
    assert "car" in ready(min_count=1)[1].vocabulary


def test_the_same_data_elsewhere_have_the_same_identity(raw, ready, tmp_path):
    _, dataset = ready()
    shutil.copytree(raw.folder, tmp_path / "copy" / "of raw")
    prepare(tmp_path / "copy" / "of raw", tmp_path / "copy" / "prepared", workers=1)
    assert Dataset(tmp_path / "copy" / "prepared").identity == dataset.identity


@pytest.mark.parametrize("settings", [
    {"min_count": 1}, {"annotations_only": True}, {"vocabulary": Vocabulary([*SPECIALS, "tree"])},
])
def test_the_advice_prepares_the_same_set_again(raw, tmp_path, settings):
    queries(raw)
    raw.json("imsize", {f"{image}.jpg": [8, 6] for image in "1234"})
    raw.json("bbox", {"1_1": [0, 0, 3, 2], "1_2": [0, 1, 1, 2], "4_1": [0, 0, 7, 5]})
    out = tmp_path / "a new set"
    prepare(raw.folder, out, **settings)
    check_advice(out)


def turn_around(path):
    pixels = cv2.imread(str(path))
    pixels[0, 0] = 255 - pixels[0, 0]
    cv2.imwrite(str(path), pixels)
    os.utime(path, (1, 1))  # as unpacking an archive leaves it


def test_another_picture_or_mask_is_another_data_set(raw, ready):
    square, corners = np.zeros((2, 6, 8), bool)
    square[1:3, 0:2] = corners[1, 0] = corners[2, 1] = True  # of one bounding box
    raw.mask("1_1", square)
    _, first = ready()
    assert ready()[1].identity == first.identity
    turn_around(raw.folder / "images" / "1.jpg")
    _, picture = ready()
    raw.mask("1_1", corners)
    os.utime(raw.folder / "mask" / "1_1.mat", (1, 1))
    _, mask = ready()
    assert [image.regions for image in mask.all_images()] == \
        [image.regions for image in first.all_images()]
    assert len({first.identity, picture.identity, mask.identity}) == 3
    assert masks_of(mask, "1")["1_1"].sum() == 2


def test_pictures_and_masks_changed_since_are_refused_by_name(raw, ready, tmp_path):
    _, dataset = ready()
    image = dataset.images("test")[0]
    dataset.pixels_and_masks(image)
    shutil.copy(tmp_path / "out/masks/3.npz", tmp_path / "out/masks/4.npz")
    with pytest.raises(DatasetError, match="4.npz: not the masks that"):
        dataset.masks(image)
    raw.image("4.jpg", np.full((6, 8, 3), 10, np.uint8))
    with pytest.raises(DatasetError, match="4.jpg: another picture .*prepare_referit.py"):
        dataset.pixels(image)


def test_half_a_character_is_replaced(raw, ready):
    for split, regions in (("train", {"1_1": ["sky \ud83d"]}), ("val", {"3_1": ["tree"]}),
                           ("trainval", {"1_1": ["sky \ud83d"], "3_1": ["tree"]}),
                           ("test", {"4_1": ["sky"]})):
        raw.json(f"query_{split}", regions)
    index, dataset = ready(min_count=1)
    assert dataset.samples("train")[0].expression == "sky \ufffd"
    assert index["summary"]["notes"]["half a character replaced"] == 1


def test_facts_come_with_the_raw_data(raw, ready):
    assert ready()[1].about == About() and not About().notes
    (raw.folder / "about.json").write_text('{"images": "photographs", "expressions": "program"}')
    about = ready()[1].about
    assert about == About("photographs", "program")
    assert about.notes == ("expressions made by a program",)
    (raw.folder / "about.json").write_text('{"images": "painted"}')
    with pytest.raises(UserError, match="about.json: .*painted.*expected"):
        ready()
