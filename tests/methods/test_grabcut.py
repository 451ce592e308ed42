"""GrabCut on pictures whose foreground is known, and the baseline from predicted boxes."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest
from support.commands import load_tool, run_tool

from objseg.data.dataset import Dataset
from objseg.data.images import MAX_PIXELS, read_image
from objseg.files import REPOSITORY
from objseg.methods.box_predictions import COLUMNS, NOTHING, PredictionError, read_predictions
from objseg.methods.grabcut import grabcut
from objseg.metrics import summarize
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


# ---- boxes that a method predicted ----

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
    return [(s.image.id, s.region.id, s.expression, *box) for s, box in zip(*predicted[1:])]


def test_predictions_come_back_in_their_order(predicted, tmp_path):
    path = write_rows(tmp_path / "a.csv", rows_of(predicted))
    found = read_predictions(path, predicted[0])
    assert [(p.image, p.region, p.expression, *p.box) for p in found] == rows_of(predicted)


def test_the_rows_of_a_method_are_taken_from_an_evaluation(predicted, tmp_path):
    rows = rows_of(predicted)[:3]
    columns = ("method", *COLUMNS[:3], "iou", *COLUMNS[3:])
    both = [(m, *row[:3], 0.5, *row[3:]) for m in ("scrc-bbox", "other") for row in rows]
    path = write_rows(tmp_path / "a.csv", both, columns)
    assert len(read_predictions(path, predicted[0], "scrc-bbox")) == 3
    with pytest.raises(PredictionError, match="choose one of the methods other, scrc-bbox"):
        read_predictions(path, predicted[0])
    with pytest.raises(PredictionError, match="no method x; there are other, scrc-bbox"):
        read_predictions(path, predicted[0], "x")
    write_rows(path, both[:3], columns)
    assert len(read_predictions(path, predicted[0])) == 3


@pytest.mark.parametrize("change, message", [
    ({3: "left"}, "line 3: the box left, .* is not four whole numbers"),
    ({3: "1.5"}, "line 3: the box 1.5, .* is not four whole numbers"),
    ({3: 9, 5: 8}, "line 3: the box 9, .*expected xmin <= xmax"),
    ({0: "no-such"}, "line 3: no image 'no-such' in the data set"),
    ({1: "no-such"}, "line 3: no region 'no-such' of the image"),
    ({6: None}, "line 3: another number of columns"),
])
def test_bad_rows_are_refused_by_line(predicted, tmp_path, change, message):
    rows = [list(row) for row in rows_of(predicted)[:3]]
    for column, value in change.items():
        rows[1][column] = value
    rows[1] = [value for value in rows[1] if value is not None]
    with pytest.raises(PredictionError, match=f"a.csv, {message}"):
        read_predictions(write_rows(tmp_path / "a.csv", rows), predicted[0])


@pytest.mark.parametrize("content, message", [
    (None, "does not exist"),
    (b"", "no column image"),
    (b"image,region,expression,xmin\n", "no column ymin, xmax, ymax"),
    (b"image,region,expression,xmin,ymin,xmax,ymax\n", "holds no prediction"),
    (b"image,region\xff\n", "not a CSV file in UTF-8"),
])
def test_bad_files_are_refused_by_name(predicted, tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(PredictionError, match=f"a.csv.*{message}"):
        read_predictions(tmp_path / "a.csv", predicted[0])


def test_the_name_of_a_method_finds_its_evaluation(monkeypatch):
    tool = load_tool("grabcut_baseline")
    monkeypatch.setattr("sys.argv", ["grabcut_baseline.py", "--method", "scrc-bbox"])
    assert tool.parse().boxes == REPOSITORY / "out" / "eval_referit_test" / "samples.csv"


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
        mask = rectangle if box == NOTHING else grabcut(image, box)[0]
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
    assert outcome["counts"]["empty predictions"] == outcome["counts"]["degenerate boxes"] == 1
    assert outcome["counts"]["scored"] == len(samples)

    run_tool(*command, "--workers", 1, "--out", tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text()) == outcome
