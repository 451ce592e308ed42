"""Maps of held convolutions: training on them is training through the convolutions."""

import csv
import shutil
from dataclasses import replace

import caffe
import h5py
import numpy as np
import pytest
from support.commands import run_tool
from support.training import run_training

from models import ours
from models.settings import Settings
from models.sizes import SLIM, Size
from models.vgg16 import convnet_net
from objseg.batches.ours import OursBatchMaker, OursSettings
from objseg.caffe.names import data_layer
from objseg.caffe.prototxt import build_net, prototxt
from objseg.caffe.weights import WeightsError
from objseg.convnet.extraction import Convnet, extract
from objseg.convnet.reader import ConvnetError, ConvnetReader
from objseg.data.dataset import Dataset
from objseg.data.expressions import mirror
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.ours import CaffeSegmenter
from objseg.training.validation import Validation

TINY = replace(SLIM, input=64, trunk=(4, 4, 6, 6, 8), fc6_window=3, mirror=True)


def settings_of(size: Size, data, convnet=None):
    """Settings of the high resolution stage with batches of 4 expressions on 2 images."""
    recipe = replace(size.recipes["highres"], batch=4, expressions_per_image=2)
    return Settings(
        model="highres", recipe=recipe, data=str(data), prototxt="", snapshots="", start=None,
        features=None, proposals=None, convnet=convnet and str(convnet), mirror=size.mirror,
        spatial=2, label_rule="majority", foreground=3, background=1, soft_iou=1,
        freeze_convnet=True, train_split="train", iter_size=1, seed=1, workers=1, mode="CPU",
    )


def open_convnet(size: Size, folder, seed=1, type="float32") -> Convnet:
    """Write the convolutions of a size with random weights."""
    deploy, weights = folder / f"{size.stride}.prototxt", folder / f"{size.stride}.caffemodel"
    caffe.set_random_seed(seed)
    build_net(convnet_net(size), caffe.TEST).save(str(weights))
    deploy.write_text(prototxt(convnet_net(size)))
    return Convnet(deploy, weights, type=type)


def extract_all(dataset, convnet, out, **settings):
    """Make the maps of all images, and of the mirror images of those of the train split."""
    mirrored = {image.id for image in dataset.images("train")}
    return extract(dataset, dataset.all_images(), mirrored, convnet, out, **settings)


@pytest.fixture
def maps(scenes, tmp_path):
    """The maps of all scenes; (Dataset, Convnet, folder)."""
    dataset, convnet = Dataset(scenes), open_convnet(TINY, tmp_path)
    extract_all(dataset, convnet, tmp_path / "maps")
    return dataset, convnet, tmp_path / "maps"


@pytest.mark.parametrize("stride", [32, 16])
def test_loss_and_gradients_are_those_through_the_convolutions(scenes, tmp_path, stride):
    size = replace(TINY, stride=stride)
    convnet = open_convnet(size, tmp_path)
    extract_all(Dataset(scenes), convnet, tmp_path / "maps")
    whole = build_net(ours.train_net(size, settings_of(size, scenes)), caffe.TRAIN)
    cached = build_net(
        ours.train_net(size, settings_of(size, scenes, tmp_path / "maps")), caffe.TRAIN
    )
    whole.copy_from(str(convnet.weights))
    for name, blobs in cached.params.items():
        for blob, other in zip(blobs, whole.params[name]):
            blob.data[...] = other.data
    assert not any(name.startswith("conv") for name in cached.params)
    for _ in range(3):  # some of the pictures are mirrored
        for net in (whole, cached):
            net.clear_param_diffs()
            net.forward()
            net.backward()
        assert data_layer(whole).samples == data_layer(cached).samples
        loss = whole.blobs["loss"].data
        np.testing.assert_allclose(cached.blobs["loss"].data, loss, rtol=1e-5)
        for name, blobs in cached.params.items():
            for blob, other in zip(blobs, whole.params[name]):
                largest = np.abs(other.diff).max()
                np.testing.assert_allclose(blob.diff, other.diff, atol=1e-5 * largest, rtol=0)


def test_mirrored_batches_have_the_mirror_image_of_picture_mask_and_words(scenes):
    common = dict(data=str(scenes), split="train", batch=8, input=64, label=64, words=20,
                  vocabulary=1000, expressions_per_image=2)
    plain = OursBatchMaker(OursSettings(**common))
    mirrored = OursBatchMaker(OursSettings(**common, mirror=True))
    one, other, seen = plain(0), mirrored(0), set()
    groups = mirrored.groups.read(0, 4)
    for n, group in enumerate(groups):
        seen.add(group.mirrored)
        step = -1 if group.mirrored else 1
        rows = slice(2 * n, 2 * n + 2)
        np.testing.assert_array_equal(other["image"][n], one["image"][n][:, :, ::step])
        np.testing.assert_array_equal(other["label"][rows], one["label"][rows][..., ::step])
        said = [sample.expression for sample in group.samples]
        if group.mirrored:
            said = [mirror(expression) for expression in said]
        encoded = plain.groups.dataset.vocabulary.encode_all(said)
        np.testing.assert_array_equal(other["tokens"][:, rows], encoded["tokens"])
    assert seen == {True, False}
    assert one["samples"] == other["samples"]


def test_only_what_is_missing_or_stale_is_computed_again(maps, scenes, tmp_path):
    dataset, convnet, folder = maps
    everything = len(dataset.all_images())
    assert extract_all(dataset, convnet, folder) == (0, everything)

    broken, missing = (folder / f"{image.id}.h5" for image in dataset.images("train")[:2])
    broken.write_bytes(broken.read_bytes()[:100])
    missing.unlink()
    assert extract_all(dataset, convnet, folder, workers=2) == (2, everything - 2)

    other = open_convnet(TINY, tmp_path, seed=2)
    assert extract_all(dataset, other, folder) == (everything, 0)
    assert extract_all(dataset, other._replace(type="float16"), folder) == (everything, 0)


def test_half_the_precision_takes_half_the_room_and_keeps_three_digits(maps, tmp_path):
    dataset, convnet, folder = maps
    extract_all(dataset, convnet._replace(type="float16"), tmp_path / "half")
    image = dataset.images("train")[0]
    single, half = (ConvnetReader(f, dataset).read(image) for f in (folder, tmp_path / "half"))
    assert half.nbytes * 2 == single.nbytes
    np.testing.assert_allclose(half, single, rtol=1e-3, atol=1e-7)


def test_maps_that_are_missing_or_of_other_weights_are_named(maps, scenes, tmp_path):
    dataset, convnet, folder = maps
    image = dataset.images("train")[0]
    with h5py.File(folder / f"{image.id}.h5", "a") as file:
        file.attrs["key"] = "of another picture"
    with pytest.raises(ConvnetError, match=f"{image.id}.h5: of another picture or other weights"):
        ConvnetReader(folder, dataset).read(image)
    (folder / f"{image.id}.h5").unlink()
    with pytest.raises(ConvnetError, match="1 of 12 pictures lack their maps; make it with: "):
        OursBatchMaker(OursSettings(data=str(scenes), split="train", batch=2, input=64, label=64,
                                    words=20, vocabulary=1000, convnet=str(folder)))
    with pytest.raises(ConvnetError, match="1 of 1 pictures lack their maps"):
        Validation([image], dataset, None, 1, convnet=ConvnetReader(folder, dataset))
    with pytest.raises(ConvnetError, match="index.json does not exist; make it with: "):
        ConvnetReader(tmp_path / "nowhere", dataset)


def test_convolutions_that_are_trained_have_no_maps(scenes):
    settings = settings_of(TINY, scenes, convnet="maps")
    with pytest.raises(UserError, match="--cached-convnet needs --freeze-convnet"):
        replace(settings, freeze_convnet=False)


@pytest.mark.slow
def test_training_on_maps_is_training_on_pictures(scenes, tmp_path):
    """The losses are the same, and the weights are used with the convolutions' own file."""
    shutil.copytree(scenes.parent, tmp_path / "set", symlinks=True)
    data, losses, found = tmp_path / "set" / scenes.name, {}, {}
    run_tool("tools/extract_convnet.py", "--size", "slim", "--data", data, "--type", "float32")
    words = ("--data", data, "--size", "slim", "--iterations", 4, "--batch", 4, "--workers", 1,
             "--mirror", "--validate", 4)
    code, printed = run_training(tmp_path / "pictures", "--model", "lowres", *words)
    assert code == 0, printed
    for name, cached in (("pictures", ()), ("maps", ["--cached-convnet"])):
        out = tmp_path / name
        code, printed = run_training(
            out, "--model", "highres", *words, *cached,
            "--weights", tmp_path / "pictures" / "lowres_iter_4.caffemodel",
        )
        assert code == 0, printed
        rows = list(csv.DictReader((out / "highres_log.csv").open()))
        losses[name] = [[float(row["loss"]) for row in rows], float(rows[-1]["val_overall_iou"])]
        image = Dataset(data).images("test")[0]
        (found[name],) = CaffeSegmenter.load(out).responses(Dataset(data).pixels(image), ["sky"])
    np.testing.assert_allclose(losses["maps"][0], losses["pictures"][0], rtol=1e-5)
    assert losses["maps"][1] == pytest.approx(losses["pictures"][1], abs=1e-3)
    np.testing.assert_allclose(found["maps"], found["pictures"], atol=1e-3)

    weights = tmp_path / "maps" / "highres_iter_4.caffemodel"
    other = open_convnet(SLIM, tmp_path).weights
    run_tool("tools/extract_convnet.py", "--size", "slim", "--data", data, "--weights", other)
    code, printed = run_training(tmp_path / "other", "--model", "highres", *words,
                                 "--cached-convnet", "--weights", weights)
    assert code == 1 and "maps of other convolutions" in printed, printed
    assert f"--weights {REPOSITORY / SLIM.pretrained}" in printed

    assert weights.stat().st_size < (tmp_path / "pictures" / weights.name).stat().st_size
    weights.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="no weights for the layers conv1_1"):
        CaffeSegmenter.load(tmp_path / "maps")
