import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from support.advice import check_advice
from support.commands import run_tool
from support.refer_data import HEIGHT, WIDTH, ReferData, pickled, rectangle

from objseg.data.about import About
from objseg.data.dataset import Dataset, DatasetError
from objseg.data.masks import read_mat
from objseg.data.prepare import PrepareError, prepare
from objseg.data.raw import AnnotationError
from objseg.data.refer import Refer
from objseg.files import REPOSITORY

SHARED = Path(os.environ.get("OBJSEG_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture
def data(tmp_path):
    return ReferData(tmp_path / "raw")


@pytest.fixture
def ready(data, tmp_path):
    """Write the changed data, prepare it and return (index, Dataset)."""
    def run(data=data, split_by="unc"):
        data.write()
        layout = Refer(data.folder, data.dataset, split_by)
        index = prepare(layout, tmp_path / "out", workers=1)
        return index, Dataset(tmp_path / "out")
    return run


def names(images):
    return [image.id for image in images]


def test_the_prepared_set_holds_what_the_files_say(ready):
    index, dataset = ready()
    assert not index["skipped"] and not index["summary"]["notes"]
    assert names(dataset.images("train")) == ["1001", "1002"]
    assert names(dataset.images("testA")) == ["1004"]
    assert names(dataset.images("testB")) == ["1005"]
    assert names(dataset.images("test")) == ["1004", "1005"]
    assert names(dataset.all_images()) == ["1001", "1002", "1003", "1004", "1005"]
    sample = dataset.samples("testB")[0]
    assert sample.expression == "man 5" and sample.region.id == "1005_5"
    assert dataset.about == About("photographs", "people")
    pixels, masks = dataset.pixels_and_masks(sample.image)
    assert pixels.shape == (HEIGHT, WIDTH, 3) and abs(int(pixels.mean()) - 100) <= 1
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[3:7, 2:7] = True
    np.testing.assert_array_equal(masks["1005_5"], expected)
    assert sample.region.box == (2, 3, 6, 6)
    with pytest.raises(DatasetError, match="no split 'testC'.*test, testA, testB"):
        dataset.images("testC")


def test_the_counts_of_a_split_are_those_of_its_parts(ready):
    index, _ = ready()
    counts = {name: (count["images"], count["regions"], count["expressions"])
              for name, count in index["summary"]["splits"].items()}
    assert counts == {"train": (2, 2, 4), "val": (1, 1, 2), "trainval": (3, 3, 6),
                      "test": (2, 2, 4), "testA": (1, 1, 2), "testB": (1, 1, 2)}


def test_an_image_in_two_splits_is_two_images(tmp_path, ready):
    data = ReferData(tmp_path / "other", "refcocog", "google", splits=("train", "val"))
    data.instances["annotations"].append(
        {**data.annotation(3, [rectangle(0, 0, 4, 4)]), "image_id": 1001}
    )
    data.refs.append(data.ref(3, "val", image_id=1001))
    index, dataset = ready(data, "google")
    assert names(dataset.images("train")) == ["1001-train"]
    assert names(dataset.images("val")) == ["1002", "1001-val"]
    assert [region.id for region in dataset.images("val")[1].regions] == ["1001-val_3"]
    assert dataset.masks(dataset.images("val")[1])["1001-val_3"].sum() == 16
    assert index["summary"]["notes"] == {"picture in more than one split": 1}


def test_refclef_has_run_lengths_and_splits_of_two_letters(tmp_path, ready):
    mask = np.random.RandomState(0).rand(HEIGHT, WIDTH) < 0.5
    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    data = ReferData(tmp_path / "other", "refclef", images="images/saiapr_tc-12",
                     splits=("train", "testA", "testAB", "testBC"))
    data.instances["annotations"][2]["segmentation"] = [{**runs, "counts": runs["counts"].decode()}]
    _, dataset = ready(data)
    assert {split: names(dataset.images(split)) for split in ("testA", "testB", "testC", "test")} \
        == {"testA": ["1002", "1003"], "testB": ["1003", "1004"], "testC": ["1004"],
            "test": ["1002", "1003", "1004"]}
    np.testing.assert_array_equal(dataset.masks(dataset.images("testB")[0])["1003_3"], mask)


def test_texts_of_python_2_and_3_are_the_same(data, ready, tmp_path):
    for ref, text in zip(data.refs, ("café", "男の人", "naïve — man", "plain", "ÿ")):
        ref["sentences"][0]["sent"] = text
    _, first = ready()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data.refs_file.write_bytes(pickle.dumps(data.refs, protocol))
        prepare(Refer(data.folder, "refcoco", "unc"), tmp_path / "again", workers=1)
        again = Dataset(tmp_path / "again")
        expressions = [sample.expression for sample in again.samples("train")]
        assert expressions[::2] == ["café", "男の人"]
        assert again.identity == first.identity


def test_a_sentence_that_cleaning_emptied_is_as_it_was_typed(data, ready):
    data.refs[0]["sentences"][0].update(sent=" ", raw="?!")
    data.refs[1]["sentences"][1].update(sent="", raw="")
    index, dataset = ready()
    assert [sample.expression for sample in dataset.samples("train")] == \
        ["?!", "the man on the left", "man 2"]
    assert index["summary"]["notes"] == {"blank expression": 1}


# What cannot be used


@pytest.mark.parametrize("change, reason", [
    (dict(ann_id=9), "ref of an unknown annotation"),
    (dict(image_id=1001), "ref of another image than its annotation"),
    (dict(split="dev"), "ref of an unknown split"),
    (dict(split="test/../../x"), "ref of an unknown split"), (dict(ref_id=1), "repeated ref"),
])
def test_a_ref_that_fits_nothing_is_passed_over(data, ready, change, reason):
    data.refs[1].update(change)
    index, dataset = ready()
    assert names(dataset.images("train")) == ["1001"]
    assert index["summary"]["notes"] == {reason: 1}
    (entry,) = index["skipped"]
    assert entry["what"].startswith("refs(unc).p, ref ") and entry["reason"] == reason


@pytest.mark.parametrize("segmentation, reason, detail", [
    ([], "mask unreadable", "instances.json, annotation 102: its segmentation is"),
    ([[1, 2, 3]], "mask unreadable", "annotation 102: a polygon"),
    ([[1, 2, 3, 4]], "mask empty", "annotation 102 marks no pixel"),
    ({"size": [1, 1], "counts": [1]}, "mask unreadable", "annotation 102: its run lengths"),
    ([rectangle(100, 100, 200, 200)], "mask empty", "annotation 102 marks no pixel"),
])
def test_a_region_without_a_mask_is_skipped(data, ready, segmentation, reason, detail):
    data.instances["annotations"][1]["segmentation"] = segmentation
    index, dataset = ready()
    (entry,) = index["skipped"]
    assert entry["what"] == "region 1002_2" and entry["reason"] == reason
    assert detail in entry["detail"] and entry["expressions"] == 2
    assert len(dataset.samples("train")) == 2


def test_a_missing_picture_is_named(data, ready):
    (data.images / "COCO_train2014_000000000002.jpg").unlink()
    index, _ = ready()
    assert index["skipped"][0]["reason"] == "image missing"
    assert index["skipped"][0]["detail"].endswith("train2014/COCO_train2014_000000000002.jpg")


@pytest.mark.parametrize("path, value, message", [
    (("images",), {}, "images is a dict; expected a list"),
    (("images", 0, "id"), "1001", "entry 1 of images; expected id, of type int"),
    (("images", 1, "id"), 1001, "entry 2 of images has the id 1001 of another"),
    (("images", 0, "height"), 0, "image 1001: 30 x 0 pixels; expected 1 to"),
    (("images", 0, "height"), 10**12, "image 1001: .* pixels; expected 1 to"),
    (("images", 0, "file_name"), "../../secret.jpg", "image 1001: file_name '../../secret.jpg'"),
    (("images", 0, "file_name"), "/etc/secret.jpg", "image 1001: file_name '/etc/secret.jpg'"),
    (("annotations", 0, "image_id"), 7, "annotation 101: image_id 7; expected the id of one"),
    (("annotations", 2), None, "entry 3 of annotations; expected id"),
])
def test_broken_instances_are_refused(data, path, value, message):
    place = data.instances
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    data.write()
    with pytest.raises(AnnotationError, match=f"instances.json: {message}"):
        Refer(data.folder, "refcoco", "unc")


@pytest.mark.parametrize("content, message", [
    ({"refs": []}, "holds a dict; expected a list"),
    ([3], "ref 1: ref_id is nothing; expected int"),
    ([{"ref_id": 1, "ann_id": "2"}], "ref 1: ann_id is str; expected int"),
    ([{"ref_id": 1, "ann_id": 2, "image_id": 3, "sentences": [{"sent": 4}]}],
     "ref 1, a sentence: sent is int; expected str"),
    ([{"ref_id": 1, "ann_id": 2, "image_id": 3, "sentences": []}], "ref 1: split is nothing"),
])
def test_broken_refs_are_refused(data, content, message):
    data.refs_file.write_bytes(pickled(content))
    with pytest.raises(AnnotationError, match=message):
        Refer(data.folder, "refcoco", "unc")


def test_missing_files_are_named(data, ready):
    with pytest.raises(AnnotationError, match="refcocog split by unc.*expected umd or google"):
        Refer(data.folder, "refcocog", "unc")
    with pytest.raises(AnnotationError, match=r"refs\(google\).p does not exist; .*refer toolbox"):
        Refer(data.folder, "refcoco", "google")
    with pytest.raises(AnnotationError, match="refcoco.refs.unc..p does not exist"):
        Refer(data.folder / "nowhere", "refcoco", "unc")
    data.refs_file.with_name("instances.json").rename(data.folder / "instances.json")
    with pytest.raises(AnnotationError, match="refcoco/instances.json does not exist"):
        Refer(data.folder, "refcoco", "unc")
    data.images.rename(data.folder / "elsewhere")
    with pytest.raises(PrepareError, match="train2014: no such folder.*--images"):
        ready()


# Real masks, where they are at hand


def test_real_masks_come_back_whole_by_way_of_run_lengths(tmp_path):
    """Twelve street photographs of ReferIt's layout, written as the toolbox's files."""
    folder = SHARED / "camvid_referit"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    regions, content, refs = {}, {"images": [], "annotations": []}, []
    pictures = sorted((folder / "images").iterdir())[:12]
    for number, picture in enumerate(pictures, 1):
        height, width = cv2.imread(str(picture)).shape[:2]
        content["images"].append(
            {"id": number, "file_name": picture.name, "height": height, "width": width}
        )
        for path in sorted((folder / "mask").glob(f"{picture.stem}_*.mat")):
            mask = read_mat(path)
            runs = coco.encode(np.asfortranarray(mask, np.uint8))
            ref = len(refs) + 1
            content["annotations"].append(
                {"id": ref, "image_id": number,
                 "segmentation": {**runs, "counts": runs["counts"].decode()}}
            )
            refs.append({"ref_id": ref, "ann_id": ref, "image_id": number, "split": "val",
                         "sentences": [{"sent": "thing"}]})
            regions[f"{number}_{ref}"] = mask
    (tmp_path / "refcocog").mkdir()
    (tmp_path / "refcocog" / "instances.json").write_text(json.dumps(content))
    (tmp_path / "refcocog" / "refs(umd).p").write_bytes(pickled(refs))
    prepare(Refer(tmp_path, "refcocog", "umd", folder / "images"), tmp_path / "set", workers=2)
    dataset = Dataset(tmp_path / "set")
    found = {}
    for image in dataset.images("val"):
        found |= dataset.masks(image)
    assert found.keys() == regions.keys() and len(found) > 50
    for region, mask in regions.items():
        np.testing.assert_array_equal(found[region], mask)


# The tool


def test_the_tool_prepares_what_other_tools_read(data, tmp_path):
    out = tmp_path / "set"
    words = ("--data", data.folder, "--dataset", "refcoco", "--split-by", "unc", "--out", out)
    done = run_tool("tools/prepare_refer.py", *words)
    assert "these are not the published counts of refcoco (unc)" in done.stdout
    assert "testA              1         1            2" in done.stdout
    for split, samples in ("testA", 2), ("test", 4):
        done = run_tool("tools/eval_referit.py", "--data", out, "--split", split,
                        "--method", "whole-image", "--out", tmp_path / split)
        assert f"{samples} samples scored" in done.stdout
    done = run_tool("tools/eval_referit.py", "--data", out, "--split", "testC",
                    "--method", "whole-image", "--out", tmp_path / "none", check=False)
    assert done.returncode == 1 and "no split 'testC'; expected one of" in done.stdout


def test_the_advice_prepares_the_same_set_again(data, tmp_path):
    out = tmp_path / "a new set"
    pictures = tmp_path / "my pictures"
    data.images.rename(pictures)
    prepare(Refer(data.folder, "refcoco", "unc", pictures), out, min_count=1, workers=1)
    check_advice(out)
