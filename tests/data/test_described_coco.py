import json

import numpy as np
import pytest
from pycocotools import mask as coco
from support.advice import check_advice
from support.commands import run_tool
from support.refer_data import HEIGHT, WIDTH, ReferData, rectangle

from objseg.data.about import About
from objseg.data.dataset import Dataset
from objseg.data.described_coco import DescribedCoco
from objseg.data.prepare import prepare
from objseg.errors import UserError

NUMBERS = range(1, 11)
"""Of the images 1001 …, each with an annotation 101 …"""


class Own:
    """Ten pictures, an instances file and expressions, as somebody's own data."""

    def __init__(self, folder):
        folder.mkdir()
        self.data = ReferData(folder / "of", splits=["train"] * len(NUMBERS))
        self.folder, self.images, self.content = folder, self.data.images, self.data.instances
        self.raw, self.csv = folder / "instances.json", folder / "texts.csv"
        self.write([f"{100 + n},thing {n}" for n in NUMBERS])

    def write(self, lines, first="annotation,expression", encoding="utf-8"):
        self.raw.write_text(json.dumps(self.content))
        self.csv.write_bytes("".join(f"{line}\n" for line in [first, *lines]).encode(encoding))

    def lists(self, **lists):
        (self.folder / "splits").mkdir(exist_ok=True)
        for split, lines in lists.items():
            (self.folder / "splits" / f"{split}.txt").write_text("\n".join(lines))
        return self.folder / "splits"

    def layout(self, **settings):
        return DescribedCoco(self.raw, self.images, self.csv, **settings)


@pytest.fixture
def own(tmp_path):
    return Own(tmp_path / "own")


@pytest.fixture
def ready(own, tmp_path):
    def run(**settings):
        index = prepare(own.layout(**settings), tmp_path / "out", workers=1)
        return index, Dataset(tmp_path / "out")
    return run


def split_of(dataset):
    return {split: [image.id for image in dataset.images(split)]
            for split in ("train", "val", "test")}


def test_the_set_holds_what_the_files_say(own, ready):
    mask = np.random.RandomState(0).rand(HEIGHT, WIDTH) < 0.5
    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    own.content["annotations"][1]["segmentation"] = {**runs, "counts": runs["counts"].decode()}
    own.content["annotations"][1]["iscrowd"] = 1
    own.content["annotations"].append({"id": 200, "image_id": 1001, "category_id": 1, "extra": 3,
                                       "segmentation": [rectangle(0, 0, 4, 4)]})
    own.write(["102,die Menge", '200,"a box, at the top"', "200,café", "101,a man"])
    index, dataset = ready(splits=own.lists(train=["1001"], test=["1002", "1003"]))
    assert split_of(dataset) == {"train": ["1001"], "val": [], "test": ["1002", "1003"]}
    samples = [(sample.region.id, sample.expression) for sample in dataset.samples("train")]
    assert samples == [("1001_101", "a man"), ("1001_200", "a box, at the top"),
                       ("1001_200", "café")]
    image = dataset.images("test")[0]
    np.testing.assert_array_equal(dataset.masks(image)["1002_102"], mask)
    assert dataset.masks(dataset.images("train")[0])["1001_200"].sum() == 16
    assert index["summary"]["notes"] == {"image without expression": 1}
    assert dataset.about == About()


def test_random_splits_are_disjoint_whole_and_the_seed_s(own, ready):
    first = split_of(ready()[1])
    assert [len(first[split]) for split in ("train", "val", "test")] == [8, 1, 1]
    assert sorted(sum(first.values(), [])) == [str(1000 + n) for n in NUMBERS]
    own.write([f"{100 + n},thing {n}" for n in reversed(NUMBERS)])  # the order does not matter
    assert split_of(ready()[1]) == first
    others = [split_of(ready(seed=seed)[1]) for seed in range(2, 6)]
    assert any(other != first for other in others)
    thirds = split_of(ready(fractions=(0.2, 0.3, 0.5))[1])
    assert [len(thirds[split]) for split in ("train", "val", "test")] == [2, 3, 5]
    tests = split_of(ready(fractions=(0, 0, 1))[1])
    assert len(tests["test"]) == 10


def test_images_without_expressions_are_not_divided(own, ready):
    own.write([f"{100 + n},thing" for n in NUMBERS[:4]])
    splits = split_of(ready(fractions=(0.5, 0.25, 0.25))[1])
    assert sorted(sum(splits.values(), [])) == ["1001", "1002", "1003", "1004"]


def test_lists_name_images_by_id_or_file(own, ready):
    names = [image["file_name"] for image in own.content["images"]]
    lists = own.lists(train=[names[0], " 1002 ", ""], val=[names[2]], test=["1004"])
    index, dataset = ready(splits=lists)
    assert split_of(dataset) == {"train": ["1001", "1002"], "val": ["1003"], "test": ["1004"]}
    assert index["summary"]["notes"] == {"annotated image in no split": 6}


def test_facts_beside_the_instances_are_kept(own, ready):
    (own.folder / "about.json").write_text('{"images": "photographs", "expressions": "people"}')
    assert ready()[1].about == About("photographs", "people")


def test_a_blank_expression_is_passed_over(own, ready):
    own.write(["101,  ", *(f"{100 + n},thing {n}" for n in NUMBERS)])
    index, _ = ready()
    assert ("texts.csv, line 2", "blank expression") in {
        (entry["what"], entry["reason"]) for entry in index["skipped"]
    }


@pytest.mark.parametrize("lines, first, encoding, message", [
    (["999,thing"], "annotation,expression", "utf-8", "line 2: annotation '999'; expected the id"),
    (["sky,thing"], "annotation,expression", "utf-8", "line 2: annotation 'sky'"),
    (["9" * 5000 + ",thing"], "annotation,expression", "utf-8", "line 2: annotation '9"),
    (["101,thing"], "id,text", "utf-8", "no column annotation, expression; .*names id, text"),
    (["101"], "annotation,expression", "utf-8", "line 2: another number of columns"),
    ([], "annotation,expression", "utf-8", "holds nothing below its first line"),
    (["101,caf\xe9"], "annotation,expression", "latin-1", "not a CSV file in UTF-8"),
])
def test_a_broken_table_is_refused(own, lines, first, encoding, message):
    own.write(lines, first, encoding)
    with pytest.raises(UserError, match=f"texts.csv.*{message}"):
        own.layout()


def test_missing_files_are_named(own):
    own.csv.rename(own.folder / "other.csv")
    with pytest.raises(UserError, match="texts.csv does not exist: the expressions"):
        own.layout()
    own.raw.unlink()
    with pytest.raises(UserError, match="instances.json does not exist"):
        own.layout()


@pytest.mark.parametrize("lists, message", [
    ({}, "none of train.txt, val.txt and test.txt"),
    ({"train": ["1001", "9"]}, "train.txt, line 2: '9'; expected the id or file_name"),
    ({"train": ["1001"], "test": ["1002", "1001"]},
     "test.txt, line 2: image 1001 is also in .*train.txt, line 1"),
])
def test_broken_lists_are_refused(own, lists, message):
    with pytest.raises(UserError, match=message):
        own.layout(splits=own.lists(**lists))


@pytest.mark.parametrize("fractions, message", [
    ((0.5, 0.1, 0.1), "0.5 0.1 0.1: expected three numbers"), ((1.5, -0.5, 0), "expected three"),
    ((float("nan"), 0.5, 0.5), "expected three"),
])
def test_fractions_that_do_not_add_up_are_refused(own, fractions, message):
    with pytest.raises(UserError, match=message):
        own.layout(fractions=fractions)


def test_too_few_images_to_divide_are_refused(own):
    own.write(["101,thing", "102,thing"])
    with pytest.raises(UserError, match="2 described images: too few to divide by 0.8 : 0.1 : 0.1"):
        own.layout()


@pytest.mark.parametrize("splits", [False, True])
def test_the_tool_and_its_advice_make_the_same_set(own, tmp_path, splits):
    out, lists = tmp_path / "new", own.lists(train=["1001"], test=["1002"])
    words = ["--raw", own.raw, "--images", own.images, "--expressions", own.csv, "--out", out]
    words += ["--splits", lists] if splits else ["--fractions", 0.6, 0.2, 0.2, "--seed", 7]
    done = run_tool("tools/prepare_coco.py", *words)
    assert f"prepared: {out}" in done.stdout and "expressions from texts.csv" in done.stdout
    check_advice(out)
