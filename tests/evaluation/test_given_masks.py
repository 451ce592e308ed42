"""Masks of somebody else's: they score what the same masks score as a method of ours."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest
from support.commands import run_tool
from support.halves import evaluate_all, make_dataset
from support.refer_data import ReferData

from objseg.data.dataset import Dataset, DatasetError
from objseg.data.prepare import prepare
from objseg.data.refer import Refer
from objseg.errors import UserError
from objseg.evaluation.evaluate import Request
from objseg.evaluation.given_masks import score, write_list
from objseg.evaluation.report.gallery import predict
from objseg.evaluation.report.page import write_page
from objseg.evaluation.report.published import _TABLES, published
from objseg.evaluation.report.results import results
from objseg.evaluation.report.text import table
from objseg.metrics import NAMES, summarize


@pytest.fixture
def dataset(tmp_path):
    """Three images with five expressions for three regions each."""
    return make_dataset(tmp_path / "set", count=3, right=("right half",))


def write_masks(dataset, folder, mask_of, split="test"):
    """Write ``mask_of(sample, truth)``, bool (H, W), as the masks of a split."""
    folder.mkdir(exist_ok=True)
    for sample in dataset.samples(split):
        mask = mask_of(sample, dataset.masks(sample.image)[sample.region.id])
        assert cv2.imwrite(str(folder / f"{sample.id}.png"), np.uint8(mask) * 255)
    return folder


def metrics(evaluation):
    return summarize(evaluation.intersections, evaluation.unions)


def test_the_truth_scores_everything_and_nothing_scores_nothing(dataset, tmp_path):
    right = score(Request(dataset), write_masks(dataset, tmp_path / "right", lambda _, t: t), "a")
    assert {metrics(right)[name] for name in NAMES} == {1.0}
    none = score(Request(dataset), write_masks(dataset, tmp_path / "none", lambda _, t: t & 0), "b")
    assert {metrics(none)[name] for name in NAMES} == {0.0}
    assert (none.boxes == -1).all() and right.identity != none.identity
    wrong = score(Request(dataset), write_masks(dataset, tmp_path / "wrong", lambda _, t: ~t), "c")
    assert {metrics(wrong)[name] for name in NAMES} == {0.0}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_masks_of_our_evaluation_score_what_it_said(dataset, tmp_path, workers):
    ((ours,),) = evaluate_all(dataset, tmp_path / "journal", "whole-image")
    drawn = predict(dataset, ours, range(len(ours.samples)))
    drawn = {sample.id: drawn[n] for n, sample in enumerate(ours.samples)}
    folder = write_masks(dataset, tmp_path / "masks", lambda sample, _: drawn[sample.id])
    given = score(Request(dataset), folder, "theirs", workers)
    assert given.samples == ours.samples
    for name in "intersections", "unions", "boxes":
        np.testing.assert_array_equal(getattr(given, name), getattr(ours, name))


def test_every_sample_has_a_mask_of_its_own(dataset, tmp_path):
    ids = [sample.id for sample in dataset.samples("test")]
    assert len(set(ids)) == len(ids) == 15
    random = np.random.RandomState(0)
    masks = {}

    def noise(sample, truth):
        masks[sample.id] = random.rand(*truth.shape) < 0.5
        return masks[sample.id]

    found = score(Request(dataset), write_masks(dataset, tmp_path / "noise", noise), "noise")
    for sample, intersection, union in zip(found.samples, found.intersections, found.unions):
        truth = dataset.masks(sample.image)[sample.region.id]
        assert intersection == (masks[sample.id] & truth).sum()
        assert union == (masks[sample.id] | truth).sum()
    again = predict(dataset, found, [3, 0])
    np.testing.assert_array_equal(again[3], masks[found.samples[3].id])


def grey(path):
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    pixels[0, :3] = 1, 128, 200
    cv2.imwrite(str(path), pixels)


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: (folder / "0_1_2.png").unlink(),
     "masks: 1 of 15 masks of the split test missing: 0_1_2.png; --list FILE"),
    (lambda folder: [path.unlink() for path in folder.iterdir()],
     "15 of 15 masks of the split test missing: .*, …; --list FILE"),
    (lambda folder: shutil.copy(folder / "0_1_2.png", folder / "0_1_3.png"),
     "no sample of the split test, 1 in all: 0_1_3.png; expected only <sample id>.png"),
    (lambda folder: shutil.rmtree(folder), "masks: no such folder"),
    (lambda folder: cv2.imwrite(str(folder / "1_2_0.png"), np.zeros((44, 61), np.uint8)),
     "1 of 15 masks cannot be used: .*1_2_0.png: 61 x 44 pixels, expected the picture's 60 x 44"),
    (lambda folder: (folder / "1_2_0.png").write_bytes(b"GIF89a"), "1_2_0.png: not a picture"),
    (lambda folder: [grey(folder / f"2_{n}_0.png") for n in (1, 2)],
     "2 of 15 masks cannot be used: .*2_1_0.png: not binary: .*; .*2_2_0.png: not binary"),
])
def test_masks_that_cannot_be_scored_are_named(dataset, tmp_path, spoil, message):
    spoil(write_masks(dataset, tmp_path / "masks", lambda _, truth: truth))
    with pytest.raises(UserError, match=message):
        score(Request(dataset), tmp_path / "masks", "theirs")


def test_a_data_set_that_changed_is_refused(dataset, tmp_path):
    folder = write_masks(dataset, tmp_path / "masks", lambda _, truth: truth)
    cv2.imwrite(str(dataset.sources[""].images / "1.jpg"), np.zeros((44, 60, 3), np.uint8))
    with pytest.raises(DatasetError, match="another picture"):
        score(Request(dataset), folder, "theirs")


def test_files_that_are_no_masks_are_left_alone(dataset, tmp_path):
    folder = write_masks(dataset, tmp_path / "masks", lambda _, truth: truth)
    (folder / "README.txt").write_text("ours")
    assert metrics(score(Request(dataset), folder, "theirs"))["samples"] == 15


def test_the_list_says_what_is_wanted(dataset, tmp_path):
    assert write_list(tmp_path / "list.csv", Request(dataset)) == 15
    with open(tmp_path / "list.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, sample in zip(rows, dataset.samples("test"), strict=True):
        assert row["sample"] == sample.id and row["expression"] == sample.expression
        height, width = cv2.imread(row["picture"]).shape[:2]
        assert (int(row["height"]), int(row["width"])) == (height, width)


# Published results


def test_published_figures_are_possible():
    """Precision falls with the threshold, and every figure is a percentage."""
    for table_of in _TABLES.values():
        for figures in table_of.values():
            assert len(figures) == len(NAMES)
            precisions = [figure for figure in figures[:5] if figure is not None]
            assert precisions == sorted(precisions, reverse=True)
            assert all(0 < figure < 100 for figure in figures if figure is not None)


def test_published_results_stand_beside_the_same_split_only(dataset, tmp_path):
    dataset.about = dataset.about._replace(benchmark="refcocog (umd)")
    folder = write_masks(dataset, tmp_path / "masks", lambda _, truth: truth)
    evaluation = score(Request(dataset), folder, "theirs")
    outcome = results(Request(dataset), [evaluation], {}, "")
    lines = [line for line in table(outcome) if line.startswith("published: ")]
    assert "published: LAVT" in lines[0] and lines[0].split()[-2:] == ["62.09%", "63.62%"]
    assert "CARIS" in lines[1] and lines[1].split()[-7:] == \
        ["78.11%", "-", "69.06%", "-", "32.27%", "65.82%", "69.02%"]
    write_page(tmp_path, outcome, [])
    page = (tmp_path / "report.html").read_text()
    assert "<td>published: CARIS (ACM MM 2023)<td>78.11%<td>–<td>69.06%" in page
    assert "CARIS (ACM MM 2023): Performance (standard) in huggingface.co" in page
    rows = re.search('<table class="numbers">(.*?)</table>', page, re.S)[1].split("<tr")[2:]
    assert [row.count("<td>") for row in rows] == [1 + len(NAMES)] * 3
    assert published(Request(dataset, limit=3)) == published(Request(dataset, "train")) == []
    dataset.about = dataset.about._replace(benchmark=None)
    assert published(Request(dataset)) == []
    dataset.about = dataset.about._replace(referit=True)
    assert [row.figures[5] for row in published(Request(dataset, size=None))] == [48.03]
    assert published(Request(dataset, size="paper")) == []  # a row each is there already


# The tool


def test_the_tool_scores_a_split_of_refcoco(tmp_path):
    data = ReferData(tmp_path / "raw", splits=("train", "testA", "testA", "testA", "testB"))
    prepare(Refer(data.folder, "refcoco", "unc"), tmp_path / "set", workers=1)
    dataset = Dataset(tmp_path / "set")
    words = ("tools/score_masks.py", "--data", dataset.directory, "--split", "testA")
    done = run_tool(*words, "--list", tmp_path / "wanted.csv")
    assert "wanted.csv: 6 samples" in done.stdout
    folder = write_masks(dataset, tmp_path / "masks", lambda _, truth: truth, "testA")
    done = run_tool(*words, "--masks", folder, "--name", "My net", "--out", tmp_path / "out")
    assert "My net" in done.stdout and done.stdout.count("100.00%") == len(NAMES)
    outcome = json.loads((tmp_path / "out" / "results.json").read_text())
    assert outcome["samples"] == 6 and outcome["methods"][0]["metrics"]["mean_iou"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "My net" in page and page.count("<img") > 5
    done = run_tool(*words[:-1], "testB", "--masks", folder, check=False)
    assert done.returncode == 1 and "2 of 2 masks of the split testB missing" in done.stdout
    done = run_tool(*words, check=False)
    assert done.returncode == 1 and "--masks DIR" in done.stdout
