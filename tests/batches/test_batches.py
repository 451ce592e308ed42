"""Batches: their content against the data set, their order, the data layer that serves them."""

import json
import shutil
from dataclasses import asdict

import caffe
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from objseg.batches.order import Order
from objseg.batches.ours import OursBatchMaker, OursSettings
from objseg.batches.per_word import PerWordBatchMaker, PerWordSettings
from objseg.data.dataset import Dataset
from objseg.data.expressions import PAD, tokenize
from objseg.errors import UserError
from objseg.geometry import resize_and_pad_mask
from objseg.parallel.prefetch import Prefetcher


def settings(data, **changes):
    values = dict(data=str(data), split="train", batch=6, input=64, words=20, vocabulary=1000,
                  label=64, expressions_per_image=2, workers=1)
    return OursSettings(**{**values, **changes})


def placed_by_pillow(image, size, filter=Image.BILINEAR):
    """Resize to ``size`` with kept aspect, centred on black, by another library."""
    scale = size / max(image.size)
    inner = [round(side * scale) for side in image.size]
    square = Image.new(image.mode, (size, size))
    corner = [(size - side) // 2 for side in inner]
    square.paste(image.resize(inner, filter), tuple(corner))
    return np.array(square)


@pytest.mark.parametrize("group_size", [1, 3, None])
def test_an_epoch_is_every_sample_once_but_for_filled_groups(scenes, group_size):
    samples = Dataset(scenes).samples("train")
    order = Order(samples, group_size, seed=3)
    seen = [index for p in range(len(order)) for index in order.group(p)]
    assert set(seen) == set(range(len(samples)))
    if group_size != 3:
        assert len(seen) == len(samples)
    for position in range(len(order)):
        assert len({samples[i].image.id for i in order.group(position)}) == 1


def test_the_order_follows_the_seed_and_changes_with_the_epoch(scenes):
    samples = Dataset(scenes).samples("train")

    def epoch(seed, number):
        order = Order(samples, 1, seed)
        return [order.group(number * len(order) + p) for p in range(len(order))]

    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(1, 1)
    assert epoch(1, 0) != epoch(2, 0)


def test_a_batch_holds_its_samples(scenes):
    maker = OursBatchMaker(settings(scenes))
    batch, dataset = maker(4), maker.groups.dataset
    groups = [maker.groups.order.group(4 * 3 + n) for n in range(3)]
    samples = [maker.groups.samples[index] for group in groups for index in group]
    assert batch["image"].shape == (3, 3, 64, 64) and batch["image"].dtype == np.uint8
    assert batch["label"].shape == (6, 1, 64, 64)
    assert batch["image_index"].tolist() == [0, 0, 1, 1, 2, 2]
    for n, sample in enumerate(samples):
        tokens, continuation = dataset.vocabulary.encode(sample.expression, 20)
        assert batch["tokens"][:, n].tolist() == tokens.tolist()
        assert batch["continuation"][:, n].tolist() == continuation.tolist()
        label, image = batch["label"][n, 0], batch["image"][n // 2]
        mask = dataset.masks(sample.image)[sample.region.id]
        expected = placed_by_pillow(Image.fromarray(mask.astype(np.uint8) * 255), 64, Image.BOX)
        expected = expected > 127
        # The libraries round half a pixel differently: up to one pixel at the border.
        for one, other in ((label, expected), (expected, label)):
            assert one.any() and not (one & ~binary_dilation(other, np.ones((3, 3)))).any()
        # Pillow smooths when it reduces, so single pixels differ; the picture must not.
        picture = placed_by_pillow(Image.open(sample.image.path), 64)[..., ::-1].astype(int)
        difference = np.abs(image.transpose(1, 2, 0) - picture)
        assert difference.mean() < 8 and not image[:, picture.sum(axis=2) == 0].any()


def test_coarse_labels_are_the_full_labels_downsampled(scenes):
    full = OursBatchMaker(settings(scenes))(0)["label"]
    for rule, function in (("any", np.max), ("majority", lambda b, axis: np.mean(b, axis) > 0.5)):
        coarse = OursBatchMaker(settings(scenes, label=2, label_rule=rule))(0)["label"]
        blocks = full.reshape(6, 1, 2, 32, 2, 32)
        np.testing.assert_array_equal(coarse, function(blocks, axis=(3, 5)))


@pytest.mark.parametrize("frequent", [0, 30])
def test_word_labels_mark_the_regions_that_a_word_is_said_of(scenes, frequent):
    maker = PerWordBatchMaker(PerWordSettings(
        data=str(scenes), split="train", batch=2, input=64, label=64, outputs=frequent or 1000,
        all_words=not frequent,
    ))
    batch, labelled = maker(0), maker.words.words
    assert batch["label"].shape == (2, frequent or 1000, 64, 64)
    if not frequent:
        assert labelled == maker.groups.dataset.vocabulary.words
        assert not batch["label"][:, PAD].any()
    group = maker.groups.order.group(0)
    image = maker.groups.samples[group[0]].image
    assert len(group) == sum(len(region.expressions) for region in image.regions)
    masks = maker.groups.dataset.masks(image)
    words = {t for r in image.regions for e in r.expressions for t in tokenize(e)}
    assert words & set(labelled)
    for row, word in enumerate(labelled):
        if word in words:
            said_of = [resize_and_pad_mask(masks[r.id], 64) for r in image.regions
                       if any(word in tokenize(e) for e in r.expressions)]
            np.testing.assert_array_equal(batch["label"][0, row], np.any(said_of, axis=0))
        elif word != "<unk>":
            assert not batch["label"][0, row].any()


def test_the_stream_is_the_same_for_any_number_of_workers(scenes):
    streams = []
    for workers in (1, 3):
        stream = Prefetcher(OursBatchMaker(settings(scenes)), workers, first=2)
        streams.append([next(stream) for _ in range(7)])
        stream.close()
    for one, three in zip(*streams):
        for key in ("image", "tokens", "continuation", "label"):
            np.testing.assert_array_equal(one[key], three[key])


def test_a_picture_that_is_damaged_after_preparing_is_an_error_that_names_it(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "demo")
    shutil.copytree(Dataset(scenes).sources[""].images, tmp_path / "images")
    index = json.loads((tmp_path / "demo" / "index.json").read_text())
    (tmp_path / "demo" / "index.json").write_text(json.dumps({**index, "image_dir": "../images"}))
    maker = OursBatchMaker(settings(tmp_path / "demo", batch=2))
    picture = maker.groups.samples[maker.groups.order.group(0)[0]].image.path
    assert picture.resolve().parent == tmp_path / "images"
    content = picture.read_bytes()
    for damaged, message in ((content[:-100], "truncated or damaged"), (None, "No such file")):
        picture.unlink()
        if damaged:
            picture.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{picture.name}: .*{message}"):
            maker(0)


def test_the_data_layer_serves_the_batches_as_caffe_wants_them(scenes, tmp_path):
    parameters = settings(scenes, batch=4, label=2)
    path = tmp_path / "net.prototxt"
    path.write_text(f"""layer {{ name: "data" type: "Python" top: "image" top: "tokens"
        top: "continuation" top: "label" top: "image_index" python_param {{
        module: "ours_data" layer: "OursDataLayer"
        param_str: '{json.dumps(asdict(parameters))}' }} }}""")
    net, maker = caffe.Net(str(path), caffe.TRAIN), OursBatchMaker(parameters)
    for number in (0, 1, 5):
        if number == 5:
            net.layers[0].seek(5)
        blobs, batch = net.forward(), maker(number)
        # BGR, as VGG-16 was trained: blue, the first channel, has the smallest mean.
        for channel, mean in enumerate((103.939, 116.779, 123.68)):
            np.testing.assert_allclose(
                blobs["image"][:, channel] + mean, batch["image"][:, channel], atol=1e-4
            )
        for key in ("tokens", "continuation", "label", "image_index"):
            np.testing.assert_array_equal(blobs[key], batch[key])


def test_a_data_layer_names_the_tops_that_it_wants(scenes, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(f"""layer {{ name: "data" type: "Python" top: "image" top: "label"
        python_param {{ module: "ours_data" layer: "OursDataLayer"
        param_str: '{json.dumps(asdict(settings(scenes)))}' }} }}""")
    with pytest.raises(UserError, match="2 tops, expected image, tokens, continuation, label, im"):
        caffe.Net(str(path), caffe.TRAIN)


@pytest.mark.parametrize("changes, message", [
    (dict(seed=-1), "seed is -1"),
    (dict(batch=5), "does not divide into images"),
    (dict(label=7), "does not divide an input"),
    (dict(label_rule="some"), "label_rule is 'some'"),
    (dict(workers=0), "workers is 0"),
    (dict(batch="6"), "batch is '6'"),
    (dict(vocabulary=10), "larger than the net's embedding of 10 rows"),
    (dict(split="nowhere"), "nowhere"),
])
def test_bad_settings_are_named(scenes, changes, message):
    with pytest.raises(UserError, match=message):
        OursBatchMaker(settings(scenes, **changes))
