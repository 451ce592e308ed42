"""MCG classification: pictures of segments, their batches, and the score of a match by hand."""

import os
from dataclasses import replace
from types import SimpleNamespace

import caffe
import numpy as np
import pytest

from models import mcg
from models.sizes import SLIM
from objseg.batches.mcg import McgBatchMaker, McgSettings
from objseg.data.dataset import Dataset
from objseg.data.expressions import Vocabulary
from objseg.data.masks import save_masks
from objseg.errors import UserError
from objseg.geometry import MEAN_BGR
from objseg.methods import mcg as scoring
from objseg.methods.mcg import McgScorer
from objseg.methods.method import Configuration
from objseg.methods.nets import open_net
from objseg.methods.table1 import open_methods
from objseg.parallel.prefetch import Prefetcher
from objseg.regions.boxes import box_mask, whole_image
from objseg.regions.crops import OUTSIDE, crop, masked_crop
from objseg.regions.segment_proposals import segment_proposals
from objseg.regions.segments import SegmentReader

RANDOM = np.random.RandomState(0)


# ---- pictures ----

def test_a_masked_crop_that_needs_no_resizing_is_the_pixels_themselves():
    image = RANDOM.randint(0, 256, (9, 11, 3)).astype(np.uint8)
    mask = np.zeros((9, 11), bool)
    mask[2:6, 3:7] = [[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0]]
    expected = image[2:6, 3:7].copy()
    expected[~mask[2:6, 3:7]] = 104, 117, 124  # the rounded means
    np.testing.assert_array_equal(masked_crop(image, mask, 4), expected)
    np.testing.assert_array_equal(crop(image, (3, 2, 6, 5), 4), image[2:6, 3:7])


def test_half_the_side_averages_four_pixels_and_asks_for_half_of_them():
    image = RANDOM.randint(0, 64, (4, 4, 3)).astype(np.uint8) * 4  # means of four are whole
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]], bool)
    expected = image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    expected[0, 1] = OUTSIDE
    np.testing.assert_array_equal(masked_crop(image, mask, 2), expected)


def test_a_larger_picture_keeps_colours_apart():
    image = np.full((20, 30, 3), 7, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:12], mask[5:9, 16:18] = True, True
    expected = np.full((64, 64, 3), 7)
    expected[:, 16:48] = OUTSIDE
    np.testing.assert_array_equal(masked_crop(image, mask, 64), expected)


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 4, 2), (3, 0, 2, 2)])
def test_a_box_outside_the_image_and_an_empty_mask_are_refused(box):
    with pytest.raises(ValueError, match="4x3 pixels"):
        crop(np.zeros((3, 4, 3), np.uint8), box, 8)
    with pytest.raises(ValueError, match="empty mask"):
        masked_crop(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), bool), 8)


# ---- batches ----

@pytest.fixture(scope="module")
def boxes(scenes, tmp_path_factory):
    """Rectangles as proposals, which spatial features tell apart; (folder, {image id: boxes}).

    The box of every region is among them, and the first image has no proposal at all.
    """
    folder, boxes, random = tmp_path_factory.mktemp("segments"), {}, np.random.RandomState(1)
    for number, image in enumerate(Dataset(scenes).images("train")):
        corners = np.sort(random.randint(0, (image.width, image.height), (20, 2, 2)), axis=1)
        rows = np.unique([*corners.reshape(-1, 4), *(r.box for r in image.regions)], axis=0)
        boxes[image.id] = rows if number else rows[:0]
        masks = {str(n): box_mask(b, image.height, image.width)
                 for n, b in enumerate(boxes[image.id])}
        save_masks(folder / f"{image.id}.npz", masks, (image.height, image.width))
    return folder, boxes


def settings(scenes, folder, **changes):
    values = dict(data=str(scenes), split="train", proposals=str(folder), batch=4, segments=5,
                  crop=32, words=20, vocabulary=1000, expressions_per_image=4, workers=1)
    return McgSettings(**{**values, **changes})


def test_labels_are_those_of_the_rasterised_overlap(scenes, boxes):
    folder, boxes = boxes
    maker, matches = McgBatchMaker(settings(scenes, folder)), 0
    for position in range(len(maker.groups.order)):
        samples = [maker.groups.samples[index] for index in maker.groups.order.group(position)]
        image, batch = samples[0].image, maker(position)
        masks, size = maker.groups.dataset.masks(image), (image.width, image.height)
        given = boxes[image.id] if len(boxes[image.id]) else whole_image(*size)[None]
        # A rectangle's spatial features are its corners.
        found = np.rint((batch["spatial"][:, :4, 0, 0] + 1) / 2 * np.tile(size, 2)).astype(int)
        for segment, number, label in zip(*(
            batch[key].ravel() for key in ("region_index", "sample_index", "label")
        )):
            mask = masks[samples[number].region.id]
            assert label == (overlap(found[segment], mask) >= 0.5)
        chosen = set(map(tuple, found))
        assert chosen <= set(map(tuple, given)) and len(chosen) == min(len(given), 5)
        for sample in samples:
            overlaps = [overlap(box, masks[sample.region.id]) for box in given]
            if max(overlaps) >= 0.5:
                assert tuple(given[np.argmax(overlaps)]) in chosen
                matches += 1
    assert matches > 20


def test_a_batch_is_the_groups_of_its_images_side_by_side(scenes, boxes):
    both = McgBatchMaker(settings(scenes, boxes[0], batch=8))(1)
    maker = McgBatchMaker(settings(scenes, boxes[0], batch=4))
    first, second = maker(2), maker(3)
    for key in ("image", "spatial", "label"):
        np.testing.assert_array_equal(both[key], np.concatenate([first[key], second[key]]))
    for key in ("tokens", "continuation"):
        np.testing.assert_array_equal(both[key], np.hstack([first[key], second[key]]))
    for key, offset in (("region_index", 5), ("sample_index", 4)):
        np.testing.assert_array_equal(
            both[key], np.concatenate([first[key], second[key] + offset])
        )
    pairs = set(zip(both["region_index"].tolist(), both["sample_index"].tolist()))
    assert pairs == {(r, n) for n in range(8) for r in range(n // 4 * 5, n // 4 * 5 + 5)}


def overlap(box, mask):
    """IoU of a box and a mask by counting."""
    xmin, ymin, xmax, ymax = box
    both = mask[ymin:ymax + 1, xmin:xmax + 1].sum()
    return both / ((xmax - xmin + 1) * (ymax - ymin + 1) + mask.sum() - both)


def test_the_stream_depends_on_the_seed_and_not_on_the_workers(scenes, boxes):
    def batches(**changes):
        maker = McgBatchMaker(settings(scenes, boxes[0], **changes))
        stream = Prefetcher(maker, maker.settings.workers)
        try:
            return [next(stream) for _ in range(5)]
        finally:
            stream.close()

    one, three, other = batches(), batches(workers=3), batches(seed=2)
    for a, b in zip(one, three):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
    assert any((a["spatial"] != b["spatial"]).any() for a, b in zip(one, other))


def test_the_choice_of_segments_changes_with_the_epoch(scenes, boxes):
    maker = McgBatchMaker(settings(scenes, boxes[0], batch=1, expressions_per_image=1))
    epoch = len(maker.groups.order)
    number, = maker.groups.order.group(0)
    again = next(p for p in range(epoch, 2 * epoch) if maker.groups.order.group(p) == [number])
    if not len(boxes[1][maker.groups.samples[number].image.id]):
        pytest.skip("the image without proposals comes first")
    assert (maker(0)["spatial"] != maker(again)["spatial"]).any()


@pytest.mark.parametrize("changes, message", [
    (dict(segments=3), "3 segments .* 4 expressions"),
    (dict(batch=6), "does not divide"),
    (dict(crop=0), "crop is 0"),
    (dict(seed=-1), "seed is -1"),
    (dict(vocabulary=5), "larger than the net's embedding"),
])
def test_settings_that_make_no_sense_are_refused(scenes, boxes, changes, message):
    with pytest.raises(UserError, match=message):
        McgBatchMaker(settings(scenes, boxes[0], **changes))


def test_missing_proposals_are_told_before_training(scenes, boxes, tmp_path):
    ids = sorted(boxes[1])
    for image_id in ids[2:]:
        os.link(boxes[0] / f"{image_id}.npz", tmp_path / f"{image_id}.npz")
    with pytest.raises(UserError, match=r"2 of the 12 images .*tools/make_proposals.py"):
        McgBatchMaker(settings(scenes, tmp_path))


def test_segments_that_cannot_be_used_are_told(tmp_path):
    with pytest.raises(UserError, match=r"7.npz does not exist.*tools/make_proposals.py"):
        SegmentReader(tmp_path)("7", 4, 5)
    (tmp_path / "7.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"7.npz: not a file.*tools/make_proposals.py"):
        SegmentReader(tmp_path)("7", 4, 5)
    save_masks(tmp_path / "7.npz", {"0": np.ones((4, 6), bool)}, (4, 6))
    with pytest.raises(UserError, match=r"6x4 pixels for an image of 5x4.*make_proposals.py"):
        SegmentReader(tmp_path)("7", 4, 5)


def test_without_a_segment_the_whole_image_is_the_one(tmp_path):
    save_masks(tmp_path / "7.npz", {"0": np.zeros((4, 5), bool)}, (4, 5))
    segments = SegmentReader(tmp_path)("7", 4, 5)
    assert len(segments) == 1 and segments[0].shape == (4, 5) and segments[0].all()


# ---- the net ----

TINY = replace(SLIM, trunk=(1,) * 5, fc=(2, 2, 2), embedding=3, hidden=2, classifier=4,
               vocabulary=9, crop=32, segments=5)
VOCABULARY = Vocabulary.build(["red car left"], min_count=1)
EXPRESSIONS = ["red car left", "left red", "car"]


@pytest.fixture
def tiny(tmp_path):
    """A net small enough to compute by hand: (deploy file, weights file, its parameters).

    The trunk's one channel is the blue one, and its maximum v over a picture gives fc8 = (v, 60).
    """
    deploy, weights = tmp_path / "deploy_mcg.prototxt", tmp_path / "mcg.caffemodel"
    deploy.write_text(str(mcg.deploy_net(TINY, SimpleNamespace(freeze_convnet=False))))
    net = caffe.Net(str(deploy), caffe.TEST)
    random = np.random.RandomState(3)
    for name, blobs in net.params.items():
        for blob in blobs:
            trunk = name.startswith(("conv", "fc"))
            blob.data[...] = 0 if trunk else random.uniform(-2, 2, blob.data.shape)
        if name.startswith("conv"):
            blobs[0].data[0, 0, 1, 1] = 1
    net.params["fc6"][0].data[0, 0, 3, 3] = 1
    net.params["fc6"][1].data[:] = 0, 60
    for name in ("fc7", "fc8"):
        net.params[name][0].data[..., 0, 0] = np.eye(2)
    net.save(str(weights))
    return deploy, weights, {name: [b.data.copy() for b in blobs]
                             for name, blobs in net.params.items()}


def two_segments():
    """A picture with a bluish left and a bluer small corner, and the two as segments."""
    image = np.full((40, 60, 3), (10, 200, 30), np.uint8)
    segments = [np.zeros((40, 60), bool) for _ in range(2)]
    segments[0][:, :30] = True
    segments[1][30:, 50:] = True
    image[segments[0]], image[segments[1]] = (154, 9, 9), (254, 0, 90)
    return image, segments


def score_by_hand(parameters, blue, box, words):
    """The score of a segment of one ``blue`` and a list of words, by the paper's equations."""
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    W_x, b, W_h = parameters["lstm"]
    h = c = np.zeros(2)
    for word in words:
        x = parameters["embedding"][0][VOCABULARY.words.index(word)]
        i, f, o, g = np.split(W_x @ x + b + W_h @ h, 4)  # Caffe's order of gates
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    features = np.array([blue - MEAN_BGR[0], 60])
    spatial = 2 * np.array(box) / (60, 40, 60, 40) - 1
    spatial = [*spatial, *(spatial[:2] + spatial[2:]) / 2, *(spatial[2:] - spatial[:2])]
    fused = np.concatenate([features / np.linalg.norm(features), spatial, h / np.linalg.norm(h)])
    (W1, b1), (W2, b2) = parameters["mlp_l1"], parameters["mlp_l2"]
    hidden = np.maximum(W1[..., 0, 0] @ fused + b1, 0)
    return (W2[..., 0, 0] @ hidden + b2).item()


def test_the_score_is_that_of_the_equations(tiny):
    deploy, weights, parameters = tiny
    found = McgScorer(open_net(deploy, weights), VOCABULARY).scores(*two_segments(), EXPRESSIONS)
    expected = [[score_by_hand(parameters, blue, box, expression.split())
                 for blue, box in ((154, (0, 0, 29, 39)), (254, (50, 30, 59, 39)))]
                for expression in EXPRESSIONS]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found.dtype == np.float32


def test_scores_do_not_depend_on_what_is_asked_together(tiny, monkeypatch):
    classifier = McgScorer(open_net(*tiny[:2]), VOCABULARY)
    image, segments = two_segments()
    segments += [~segments[0], segments[0] | segments[1], np.ones((40, 60), bool)]
    together = classifier.scores(image, segments, EXPRESSIONS)
    monkeypatch.setattr(scoring, "SEGMENTS_AT_ONCE", 2)
    np.testing.assert_allclose(classifier.scores(image, segments, EXPRESSIONS), together, rtol=1e-5)
    for n, expression in enumerate(EXPRESSIONS):
        alone = classifier.scores(image, segments[2:], [expression])
        np.testing.assert_allclose(alone, together[n:n + 1, 2:], rtol=1e-5)


def test_the_mask_is_the_segment_that_scores_best(tiny, tmp_path):
    deploy, weights, _ = tiny
    VOCABULARY.save(tmp_path / "words.txt")
    image, segments = two_segments()
    save_masks(tmp_path / "7.npz", dict(zip("01", segments)), (40, 60))
    configuration = Configuration("mcg-classification", deploy, weights, tmp_path / "words.txt",
                                  proposals=tmp_path)
    ((found, _),) = open_methods([configuration])(image, EXPRESSIONS, "7")
    best = McgScorer(open_net(deploy, weights), VOCABULARY).scores(image, segments, EXPRESSIONS)
    for mask, scores in zip(found, best):
        np.testing.assert_array_equal(mask, segments[0 if scores[0] > scores[1] else 1])
    with pytest.raises(UserError, match="tools/make_proposals.py"):
        open_methods([configuration])(image, EXPRESSIONS, "8")


def test_without_a_folder_of_proposals_they_are_made_of_the_image(tiny, tmp_path):
    VOCABULARY.save(tmp_path / "words.txt")
    configuration = Configuration("mcg-classification", *tiny[:2], tmp_path / "words.txt")
    image, _ = two_segments()
    ((masks, _),) = open_methods([configuration])(image, EXPRESSIONS)
    masks = list(masks)
    made = {mask.tobytes() for mask in segment_proposals(image)}
    assert len(masks) == len(EXPRESSIONS) and {mask.tobytes() for mask in masks} <= made


def test_a_vocabulary_larger_than_the_embedding_is_refused(tiny, tmp_path):
    Vocabulary.build(["a b c d e f"], min_count=1).save(tmp_path / "words.txt")
    configuration = Configuration("mcg-classification", *tiny[:2], tmp_path / "words.txt")
    with pytest.raises(UserError, match="words.txt: 10 words for an embedding of 9 rows"):
        open_methods([configuration])


def test_training_minimises_the_logistic_loss_over_pairs(scenes, boxes, tmp_path):
    folder = tmp_path / "proposals" / "segments"
    folder.parent.mkdir()
    folder.symlink_to(boxes[0])
    recipe = replace(SLIM.recipes["mcg"], batch=4, expressions_per_image=2)
    size = replace(TINY, vocabulary=1000)
    train = mcg.train_net(size, SimpleNamespace(
        freeze_convnet=False, data=str(scenes), proposals=str(folder.parent), recipe=recipe, seed=1,
        workers=1, train_split="train",
    ))
    (tmp_path / "train.prototxt").write_text(str(train))
    net = caffe.Net(str(tmp_path / "train.prototxt"), caffe.TRAIN)
    net.forward()
    score, label = (net.blobs[name].data.ravel().astype(float) for name in ("mlp_l2", "label"))
    expected = np.mean(np.log1p(np.exp(-np.where(label > 0, score, -score))))
    assert float(net.blobs["loss"].data) == pytest.approx(expected, rel=1e-4)
    net.backward()
    assert all(np.abs(net.params[name][0].diff).max() > 0
               for name in ("embedding", "lstm", "mlp_l1", "mlp_l2"))
    batch = McgBatchMaker(settings(scenes, boxes[0], batch=4, expressions_per_image=2))(0)
    np.testing.assert_allclose(
        net.blobs["image"].data, batch["image"] - MEAN_BGR[:, None, None], atol=1e-4
    )
