"""The baseline from predicted boxes: their file, and the score of rectangles and GrabCut masks."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest
from support.commands import run_tool

from objseg.data.dataset import Dataset
from objseg.data.images import read_image
from objseg.errors import UserError
from objseg.evaluation.box_predictions import COLUMNS, read_predictions
from objseg.methods.grabcut import grabcut
from objseg.metrics import summarize
from objseg.regions.boxes import box_mask

NOTHING = (-1, -1, -1, -1)


def write_rows(path, rows, columns=COLUMNS):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(scope="module")
def predicted(scenes):
    """The data set, its test samples and a box for each: the region's, one nothing, one a pixel."""
    dataset = Dataset(scenes)
    samples = dataset.samples("test")[:7]
    boxes = [sample.region.box for sample in samples]
    boxes[0], boxes[1] = NOTHING, (3, 3, 3, 3)
    return dataset, samples, boxes


def rows_of(predicted):
    return [(s.image.id, s.region.id, *box) for s, box in zip(*predicted[1:])]


def test_predictions_come_back_in_their_order(predicted, tmp_path):
    path = write_rows(tmp_path / "a.csv", rows_of(predicted))
    found = read_predictions(path, predicted[0])
    assert [(p.image.id, p.region, *p.box) for p in found] == rows_of(predicted)


def test_the_rows_of_a_method_are_taken_from_an_evaluation(predicted, tmp_path):
    rows = rows_of(predicted)[:3]
    columns = ("method", *COLUMNS[:2], "iou", *COLUMNS[2:])
    both = [(m, *row[:2], 0.5, *row[2:]) for m in ("scrc-bbox", "other") for row in rows]
    path = write_rows(tmp_path / "a.csv", both, columns)
    assert len(read_predictions(path, predicted[0], "scrc-bbox")) == 3
    with pytest.raises(UserError, match="choose one of the methods other, scrc-bbox"):
        read_predictions(path, predicted[0])
    with pytest.raises(UserError, match="choose one of the methods other, scrc-bbox"):
        read_predictions(path, predicted[0], "x")
    write_rows(path, both[:3], columns)
    assert len(read_predictions(path, predicted[0])) == 3


@pytest.mark.parametrize("change, message", [
    ({2: "left"}, "line 3: the box left, .*expected whole numbers"),
    ({2: "1.5"}, "line 3: the box 1.5, .*expected whole numbers"),
    ({2: 9, 4: 8}, "line 3: the box 9, .*expected .*xmin <= xmax"),
    ({0: "no-such"}, "line 3: no region .* of an image 'no-such' in the data set"),
    ({1: "no-such"}, "line 3: no region 'no-such' of an image"),
    ({5: None}, "line 3: another number of columns"),
])
def test_bad_rows_are_refused_by_line(predicted, tmp_path, change, message):
    rows = [list(row) for row in rows_of(predicted)[:3]]
    for column, value in change.items():
        rows[1][column] = value
    rows[1] = [value for value in rows[1] if value is not None]
    with pytest.raises(UserError, match=f"a.csv, {message}"):
        read_predictions(write_rows(tmp_path / "a.csv", rows), predicted[0])


@pytest.mark.parametrize("content, message", [
    (None, "does not exist"),
    (b"", "no column image"),
    (b"image,region,xmin\n", "no column ymin, xmax, ymax"),
    (b"image,region,xmin,ymin,xmax,ymax\n", "holds nothing below its first line"),
    (b"image,region\xff\n", "not a CSV file in UTF-8"),
])
def test_bad_files_are_refused_by_name(predicted, tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"a.csv.*{message}"):
        read_predictions(tmp_path / "a.csv", predicted[0])


def test_the_tool_scores_rectangles_and_masks(predicted, tmp_path):
    dataset, samples, boxes = predicted
    path = write_rows(tmp_path / "boxes.csv", rows_of(predicted))
    command = ["tools/grabcut_baseline.py", path, "--data", dataset.directory]
    printed = run_tool(*command, "--workers", 2, "--masks", tmp_path / "masks").stdout
    outcome = json.loads((tmp_path / "grabcut.json").read_text())

    areas = {"bbox": [], "grabcut": []}
    seen = Counter()
    for sample, box in zip(samples, boxes):
        image = read_image(sample.image.path)
        truth = dataset.masks(sample.image)[sample.region.id]
        rectangle = box_mask(box, *truth.shape)
        mask = grabcut(image, box)[0]
        name = f"{sample.region.id}_{seen[sample.region.id]}.png"
        seen[sample.region.id] += 1
        written = cv2.imread(str(tmp_path / "masks" / name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, mask * np.uint8(255))
        for row, prediction in ("bbox", rectangle), ("grabcut", mask):
            areas[row].append(((prediction & truth).sum(), (prediction | truth).sum()))
    for row, pairs in areas.items():
        assert outcome["metrics"][row] == pytest.approx(summarize(*zip(*pairs)))
        shown = next(line for line in printed.splitlines() if line.split()[:1] == [row])
        assert f"{100 * outcome['metrics'][row]['overall_iou']:.2f}%" in shown
    assert outcome["counts"]["predictions"] == len(samples)
    assert outcome["counts"]["degenerate box"] == 2  # nothing, and a pixel

    run_tool(*command, "--workers", 1, "--out", tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text()) == outcome
