"""Candidate boxes and segments: what is found, the files, and tools/make_proposals.py."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import scipy.io
from support.commands import run_tool

from objseg.data.dataset import Dataset
from objseg.data.images import MAX_PIXELS, read_image
from objseg.data.masks import MaskError, load_masks
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.regions.boxes import box_iou, box_mask
from objseg.regions.edge_boxes import edge_boxes, gradient_edges, structured_forest
from objseg.regions.index import ProposalIndex
from objseg.regions.making import Boxes, Segments, make_proposals, recall
from objseg.regions.proposals import (
    candidates,
    read_boxes,
    read_mcg,
    write_boxes,
)
from objseg.regions.segment_proposals import segment_proposals
from objseg.regions.segments import SegmentReader

PHOTOS = REPOSITORY.parent / "shared" / "referit" / "photos"
SHAPES = (40, 30, 109, 89), (150, 60, 189, 149)


def picture(scale=1):
    """Two rectangles, SHAPES, blue and red, on grey; BGR uint8 with a little noise."""
    image = np.full((180, 240, 3), 120, np.uint8)
    for (xmin, ymin, xmax, ymax), colour in zip(SHAPES, ((200, 80, 40), (40, 40, 210))):
        image[ymin:ymax + 1, xmin:xmax + 1] = colour
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    noise = np.random.RandomState(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def mosaic(height, width):
    """Tiles of random colours, BGR uint8 (height, width, 3)."""
    tiles = np.random.RandomState(0).randint(0, 256, (7, 9, 3)).astype(np.uint8)
    return cv2.resize(tiles, (width, height), interpolation=cv2.INTER_NEAREST)


# ---- files of boxes ----

@pytest.fixture()
def published():
    path = PHOTOS / "40429.txt"
    if not path.is_file():
        pytest.skip("no published EdgeBoxes list at hand (../shared/referit)")
    return path


def test_a_published_list_is_100_boxes_within_its_picture(published):
    boxes = read_boxes(published)
    assert boxes.shape == (100, 4) and boxes.dtype == np.int64
    height, width = read_image(published.with_suffix(".jpg")).shape[:2]
    assert np.array_equal(candidates(boxes, width, height), boxes)


def test_a_published_list_is_written_byte_for_byte(published, tmp_path):
    write_boxes(tmp_path / "a.txt", read_boxes(published))
    assert (tmp_path / "a.txt").read_bytes() == published.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_boxes_come_back(tmp_path, count):
    boxes = np.random.RandomState(count).randint(0, 5000, (count, 2))
    boxes = np.hstack([boxes, boxes + 17])
    write_boxes(tmp_path / "a.txt", boxes)
    assert np.array_equal(read_boxes(tmp_path / "a.txt"), boxes)


def test_plain_numbers_and_windows_line_ends_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1 2 3 4\r\n  5\t6 7.0 8e0\r\n\r\n")
    assert read_boxes(tmp_path / "a.txt").tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("content, message", [
    (b"1 2 3 four\n", "four.*expected rows of xmin ymin xmax ymax"),
    (b"1 2 3\n4 5 6\n", "3 columns"),
    (b"1 2 3 4 .9\n", "5 columns"),
    (b"1 2 3 4\n5 6 7\n", "expected rows"),
    (b"1 2 3 4\n9 2 3 4\n", "box 2 is 9 2 3 4"),
    (b"1 2 3 nan\n", "box 1 is 1 2 3 nan"),
    (b"1 2 3 1e30\n", "box 1"),
    (b"\x89PNG\r\n\x1a\n\xff\xfe", "expected rows"),
])
def test_bad_lists_are_refused_by_name(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=f"a.txt: .*{message}"):
        read_boxes(tmp_path / "a.txt")


def test_a_missing_list_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match="a.txt.*tools/make_proposals.py"):
        read_boxes(tmp_path / "a.txt")


def test_boxes_out_of_bounds_are_cut_or_dropped():
    boxes = [[-3, 0, 4, 5], [20, 1, 25, 2], [1, 1, 2, 2], [0, 0, 9, 50], [-5, -5, -1, -1]]
    found = candidates(boxes, 10, 8)
    assert found.tolist() == [[0, 0, 4, 5], [1, 1, 2, 2], [0, 0, 9, 7]]
    assert candidates(boxes, 10, 8, count=2).tolist() == found[:2].tolist()


@pytest.mark.parametrize("boxes", [[], [[20, 1, 25, 2]]])
def test_without_a_box_the_whole_image_is_the_candidate(boxes):
    assert candidates(boxes, 10, 8).tolist() == [[0, 0, 9, 7]]


# ---- EdgeBoxes ----

def test_edge_boxes_find_rectangles():
    boxes = edge_boxes(picture())
    assert boxes.dtype == np.int64 and 2 < len(boxes) <= 100
    for shape in SHAPES:
        assert box_iou(boxes[:10], shape).max() > 0.75


def textured(seed):
    """A grey picture of strong texture in four sizes of grain with a bright rectangle; its box."""
    random = np.random.RandomState(seed)
    texture = np.zeros((240, 320, 3))
    for sigma, strength in ((1, 18), (2, 18), (4, 18), (8, 15)):
        grain = cv2.GaussianBlur(random.normal(0, 1, texture.shape), (0, 0), sigma)
        texture += strength * grain / grain.std()
    image = np.clip(105 + texture, 0, 255).astype(np.uint8)
    width, height = random.randint(50, 150), random.randint(50, 120)
    x, y = random.randint(10, 310 - width), random.randint(10, 230 - height)
    colours = (40, 220, 250), (60, 60, 250), (250, 120, 60), (250, 250, 250), (80, 250, 80)
    image[y:y + height, x:x + width] = colours[seed % 5]
    return image, (x, y, x + width - 1, y + height - 1)


def test_edge_boxes_find_bright_rectangles_on_texture():
    found = 0
    for seed in range(20):
        image, box = textured(seed)
        found += box_iou(edge_boxes(image), box).max() >= 0.5
    assert found >= 15


def test_edge_boxes_of_a_large_photograph_are_its_own_pixels():
    image = picture(4)
    assert image.shape[0] * image.shape[1] > MAX_PIXELS
    boxes = edge_boxes(image)
    for xmin, ymin, xmax, ymax in SHAPES:
        assert box_iou(boxes[:10], (4 * xmin, 4 * ymin, 4 * xmax + 3, 4 * ymax + 3)).max() > 0.75


def test_edge_boxes_are_different_within_the_picture_and_the_first_of_more():
    image = np.random.RandomState(0).randint(0, 256, (120, 160, 3)).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    boxes = edge_boxes(image)
    assert (boxes >= 0).all() and (boxes <= (159, 119, 159, 119)).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all() and len(np.unique(boxes, axis=0)) == len(boxes)
    assert np.array_equal(edge_boxes(image, 5), boxes[:5])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (40, 2), (60, 80)])
def test_a_picture_of_one_colour_has_no_edge_boxes(shape):
    assert edge_boxes(np.full((*shape, 3), 90, np.uint8)).shape == (0, 4)


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_edges_are_thin_and_know_their_direction(angle):
    """A straight edge whose normal has the ``angle`` (degrees, y down)."""
    x, y = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rows, columns = np.indices((81, 81)) - 40
    distance = columns * x + rows * y  # of a pixel from the edge
    image = np.clip(128 + 100 * distance, 40, 200)[..., None].repeat(3, 2).astype(np.uint8)
    strength, across = gradient_edges(image)
    middle = np.hypot(rows, columns) < 25  # the border bends directions
    edge = (strength > 0.5) & middle
    assert np.abs(distance[edge]).max() < 1.5 and edge.sum() >= 40
    turn = np.abs(across[edge] - np.radians(angle % 180))
    assert np.minimum(turn, np.pi - turn).max() < np.radians(4)
    assert strength.dtype == np.float32 and strength.max() <= 1
    assert across.min() >= 0 and across.max() < np.pi


def test_a_structured_forest_is_used(tmp_path):
    """A forest of one leaf, which sees the same edge in every patch."""
    options = dict(
        stride=2, shrinkNumber=2, patchSize=32, patchInnerSize=16, numberOfGradientOrientations=4,
        gradientSmoothingRadius=0, regFeatureSmoothingRadius=2, ssFeatureSmoothingRadius=8,
        gradientNormalizationRadius=4, selfsimilarityGridSize=5, numberOfTrees=1,
        numberOfTreesToEvaluate=1,
    )
    path = tmp_path / "model.yml.gz"
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    file.startWriteStruct("options", cv2.FileNode_MAP)
    for name, value in options.items():
        file.write(name, value)
    file.endWriteStruct()
    for name, values in {
        "childs": [0], "featureIds": [0], "thresholds": [0.0], "edgeBoundaries": [0, 16],
        "edgeBins": list(range(128, 144)),
    }.items():
        file.startWriteStruct(name, cv2.FileNode_SEQ)
        file.startWriteStruct("", cv2.FileNode_SEQ)
        for value in values:
            file.write("", value)
        file.endWriteStruct()
        file.endWriteStruct()
    file.release()
    image = picture()
    with_forest = edge_boxes(image, model=structured_forest(path))
    assert len(with_forest) and (with_forest <= (239, 179, 239, 179)).all()
    assert not np.array_equal(with_forest, edge_boxes(image))


@pytest.mark.parametrize("content", [None, b"", b"\x1f\x8bnonsense", b"%YAML:1.0\n---\na: 1\n"])
def test_a_bad_structured_forest_is_refused_by_name(tmp_path, content):
    path = tmp_path / "model.yml.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="model.yml.gz.*opencv_extra"):
        structured_forest(path)


# ---- segments ----

def mask_iou(masks, others):
    """Return the IoU of every pair of masks (B, H, W) and others (R, H, W): (B, R)."""
    return np.array([[(m & o).sum() / (m | o).sum() for o in others] for m in masks])


def test_segments_find_the_shapes_and_the_background():
    image = picture()
    segments = segment_proposals(image)
    shapes = [box_mask(shape, 180, 240) for shape in SHAPES]
    truth = np.array([*shapes, ~(shapes[0] | shapes[1])])
    assert segments.dtype == bool and segments.shape[1:] == (180, 240)
    assert mask_iou(segments, truth).max(axis=0).min() > 0.85


def test_segments_are_different_not_empty_and_the_largest_first():
    segments = segment_proposals(mosaic(100, 130), 40)
    areas = segments.sum(axis=(1, 2))
    assert len(segments) == 40 and areas.min() > 0 and (np.diff(areas) <= 0).all()
    overlaps = mask_iou(segments, segments) - np.eye(40)
    assert overlaps.max() <= 0.8 and segments[0].all()


def test_every_segment_is_in_one_piece():
    segments = segment_proposals(mosaic(80, 90))
    assert len(segments) > 10
    for segment in segments:
        assert cv2.connectedComponents(segment.astype(np.uint8), connectivity=8)[0] == 2


def test_segments_are_the_same_every_time():
    image = mosaic(60, 70)
    assert np.array_equal(segment_proposals(image), segment_proposals(image))


def test_segments_of_a_large_photograph_have_its_size():
    image = picture(4)
    segments = segment_proposals(image)
    assert segments.shape[1:] == image.shape[:2]
    truth = box_mask([4 * value for value in SHAPES[0]], *image.shape[:2])
    assert mask_iou(segments, [truth]).max() > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (50, 60)])
def test_a_picture_of_one_colour_is_one_segment(shape):
    segments = segment_proposals(np.full((*shape, 3), 90, np.uint8))
    assert segments.shape == (1, *shape) and segments.all()


@pytest.mark.parametrize("kind", [bool, np.uint8, float])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_mcg_files_are_read_in_their_order(tmp_path, kind, number):
    masks = np.random.RandomState(0).rand(7, 9, number) < 0.5
    scipy.io.savemat(tmp_path / "1.mat", {"mask": masks.astype(kind), "scores": 1})
    found = read_mcg(tmp_path / "1.mat", 7, 9, count=3)
    assert found.dtype == bool and len(found) == min(3, number)
    for rank, mask in enumerate(found):
        assert np.array_equal(mask, masks[:, :, rank])


@pytest.mark.parametrize("content, message", [
    ({"masks": np.ones((7, 9, 2))}, "no variable 'mask'"),
    ({"mask": np.ones((9, 7, 2))}, r"shape \(9, 7, 2\), expected numbers of shape \(7, 9, N\)"),
    ({"mask": np.array([{}], object)}, "expected numbers"),
    (None, "not a readable MATLAB file"),
])
def test_bad_mcg_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "1.mat"
    if content is None:
        path.write_bytes(b"nonsense")
    else:
        scipy.io.savemat(path, content)
    with pytest.raises(MaskError, match=f"1.mat: .*{message}"):
        read_mcg(path, 7, 9)


# ---- the proposals of a data set ----

def test_recall_counts_regions_at_the_threshold_in():
    assert recall([0.2, 0.5, 0.7, 1], 0.5) == 0.75
    assert recall([0.2, 0.5, 0.7, 1], 0.7) == 0.5


@pytest.fixture(scope="module")
def made(scenes, tmp_path_factory):
    """The proposals of the test split of ``scenes``; (folder, what the tool printed)."""
    out = tmp_path_factory.mktemp("proposals")
    done = run_tool("tools/make_proposals.py", "--data", scenes, "--out", out, "--workers", 2,
                    "--split", "test")
    return out, done.stdout


def times(folder):
    """When the files of a folder were written: {name: ns}."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_tool_makes_what_the_functions_find(scenes, made):
    image = Dataset(scenes).images("test")[1]
    pixels = read_image(image.path)
    height, width = pixels.shape[:2]
    boxes = read_boxes(made[0] / "boxes" / f"{image.id}.txt")
    assert np.array_equal(boxes, candidates(edge_boxes(pixels), width, height))
    segments = load_masks(made[0] / "segments" / f"{image.id}.npz")
    assert list(segments) == [str(rank) for rank in range(len(segments))]
    assert np.array_equal(list(segments.values()), segment_proposals(pixels))


def test_the_tool_prints_the_recall(scenes, made):
    dataset = Dataset(scenes)
    found = {"boxes": [], "segments": []}
    for image in dataset.images("test"):
        boxes = read_boxes(made[0] / "boxes" / f"{image.id}.txt")
        segments = load_masks(made[0] / "segments" / f"{image.id}.npz").values()
        for region, mask in dataset.masks(image).items():
            box = next(r.box for r in image.regions if r.id == region)
            found["boxes"].append(max(box_iou(boxes, box)))
            found["segments"].append(max((s & mask).sum() / (s | mask).sum() for s in segments))
    for kind, overlaps in found.items():
        line = next(line for line in made[1].splitlines() if line.split()[:2] == [kind, "test"])
        shares = [f"{100 * np.mean(np.array(overlaps) >= t):.1f}" for t in (0.5, 0.7)]
        assert line.split()[2:] == [str(len(overlaps)), shares[0], "%", shares[1], "%"]
        assert np.mean(np.array(overlaps) >= 0.5) > 0.5


def test_what_is_there_is_kept_and_what_is_missing_made(scenes, made, tmp_path):
    dataset, out = Dataset(scenes), tmp_path / "proposals"
    shutil.copytree(made[0], out)
    images = dataset.images("test")
    name = f"{images[0].id}.txt"
    (out / "boxes" / name).unlink()
    before = times(out / "boxes")
    _, tally = make_proposals(dataset, images, Boxes(100), out)
    after = times(out / "boxes")
    assert tally == {"kept": len(images) - 1, "made": 1}
    kept = set(before) - {"settings.json", "index.jsonl"}
    assert set(after) == set(before) | {name} and all(after[n] == before[n] for n in kept)
    assert (out / "boxes" / name).read_bytes() == (made[0] / "boxes" / name).read_bytes()


def test_a_killed_run_leaves_an_index_that_the_next_one_completes(scenes, made, tmp_path):
    dataset, out = Dataset(scenes), tmp_path / "proposals"
    shutil.copytree(made[0], out)
    path = out / "boxes" / "index.jsonl"
    path.write_text(path.read_text()[:-20])  # the last line was being written
    images = dataset.images("test")
    for expected in ({"kept": len(images) - 1, "made": 1}, {"kept": len(images)}):
        _, tally = make_proposals(dataset, images, Boxes(100), out)
        assert tally == expected


def test_a_file_changed_by_hand_is_refused_where_it_is_read_and_made_again(scenes, made, tmp_path):
    dataset, out = Dataset(scenes), tmp_path / "proposals"
    shutil.copytree(made[0], out)
    image, other = dataset.images("test")[:2]
    read, identity = SegmentReader(out / "segments"), ProposalIndex(out / "segments").identity
    shutil.copy(out / "segments" / f"{other.id}.npz", out / "segments" / f"{image.id}.npz")
    with pytest.raises(UserError, match=f"{image.id}.npz: changed since .*make_proposals.py"):
        read(image.id, image.height, image.width)
    _, tally = make_proposals(dataset, [image, other], Segments(100), out)
    assert tally == {"kept": 1, "made": 1}
    assert ProposalIndex(out / "segments").identity == identity


def test_reading_what_was_made_needs_neither_caffe_nor_edge_boxes():
    code = (
        "import sys; sys.modules['caffe'] = None\n"
        "import objseg.regions.features, objseg.regions.segments, objseg.regions.proposals\n"
        "print(sorted(m for m in sys.modules if m.startswith('objseg.regions.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True,
                          text=True, check=True)
    for maker in ("edge_boxes", "segment_proposals", "making", "crop_trunk"):
        assert maker not in done.stdout


def test_other_settings_are_refused_and_overwrite_starts_afresh(scenes, made, tmp_path):
    dataset, out = Dataset(scenes), tmp_path / "proposals"
    shutil.copytree(made[0], out)
    refused = run_tool("tools/make_proposals.py", "--data", scenes, "--out", out, "--count", 7,
                       check=False)
    assert refused.returncode == 1
    assert re.search("'count': 100.* not .*'count': 7.*--overwrite", refused.stdout)
    image = dataset.images("test")[0]
    for _ in range(2):
        _, tally = make_proposals(dataset, [image], Boxes(7), out, overwrite=True)
    assert tally == {"kept": 1}
    assert [path.stem for path in (out / "boxes").glob("*.txt")] == [image.id]
    assert len(read_boxes(out / "boxes" / f"{image.id}.txt")) == 7


def test_lists_of_unknown_origin_are_refused(scenes, tmp_path):
    write_boxes(tmp_path / "boxes" / "1.txt", [[0, 0, 3, 3]])
    with pytest.raises(UserError, match="1 files made .*--published"):
        make_proposals(Dataset(scenes), [], Boxes(100), tmp_path)


def test_published_files_are_taken_and_missing_ones_made(scenes, made, tmp_path):
    source, out, dataset = tmp_path / "published", tmp_path / "out", Dataset(scenes)
    source.mkdir()
    first, second = dataset.images("test")[:2]
    write_boxes(source / f"{first.id}.txt", [[5, 6, 30, 40], [-4, 0, 9, 9], [9000, 0, 9001, 1]])
    masks = np.zeros((first.height, first.width, 3), bool)
    masks[2:9, 3:20, 0] = masks[:, :7, 2] = True  # the second one is empty
    scipy.io.savemat(source / f"{first.id}.mat", {"mask": masks})
    kinds = [Boxes(100), Segments(100)]
    for kind in kinds:
        _, tally = make_proposals(dataset, [first, second], kind, out, source)
        assert tally == {"published": 1, "made": 1}
    assert read_boxes(out / "boxes" / f"{first.id}.txt").tolist() == [[5, 6, 30, 40], [0, 0, 9, 9]]
    segments = list(load_masks(out / "segments" / f"{first.id}.npz").values())
    assert np.array_equal(segments, [masks[..., 0], masks[..., 2]])
    for kind in kinds:
        name = f"{second.id}{kind.ending}"
        assert (out / kind.name / name).read_bytes() == (made[0] / kind.name / name).read_bytes()
    settings = json.loads((out / "boxes" / "settings.json").read_text())
    assert settings["published"] == "../published" and settings["count"] == 100

    # One more list is unpacked, with the time that it has in its archive.
    write_boxes(source / f"{second.id}.txt", [[1, 2, 3, 4]])
    os.utime(source / f"{second.id}.txt", (1e9, 1e9))
    _, tally = make_proposals(dataset, [first, second], Boxes(100), out, source)
    assert tally == {"kept": 1, "published": 1}
    assert read_boxes(out / "boxes" / f"{second.id}.txt").tolist() == [[1, 2, 3, 4]]


def test_without_a_published_proposal_the_whole_image_is_one(scenes, tmp_path):
    dataset = Dataset(scenes)
    image = dataset.images("test")[0]
    (tmp_path / f"{image.id}.txt").write_text("")
    empty = np.zeros((image.height, image.width, 2))
    scipy.io.savemat(tmp_path / f"{image.id}.mat", {"mask": empty})
    for kind in Boxes(100), Segments(100):
        make_proposals(dataset, [image], kind, tmp_path / "out", tmp_path)
    boxes = read_boxes(tmp_path / "out" / "boxes" / f"{image.id}.txt")
    assert boxes.tolist() == [[0, 0, image.width - 1, image.height - 1]]
    (segment,) = load_masks(tmp_path / "out" / "segments" / f"{image.id}.npz").values()
    assert segment.all()


def test_an_unreadable_image_is_an_error_that_names_it(scenes, tmp_path):
    dataset = Dataset(scenes)
    broken, other = dataset.images("test")[:2]
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="broken.jpg: not a picture"):
        make_proposals(dataset, [other, broken._replace(path=path)], Boxes(100), tmp_path)
    assert list(ProposalIndex(tmp_path / "boxes").entries) == [other.id]  # what was made stays
