"""Features of boxes: against the arithmetic, and made again exactly when they must be."""

import json
import os
import shutil

import caffe
import cv2
import h5py
import numpy as np
import pytest
from support.commands import run_tool
from support.tiny_trunk import FC7, FC8, SIDE, propose, write_trunk

from objseg.data.dataset import Dataset
from objseg.data.images import read_image
from objseg.data.prepare import prepare
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.geometry import MEAN_BGR
from objseg.methods.method import Configuration
from objseg.regions.crop_trunk import CROPS_AT_ONCE, CropTrunk, region_source
from objseg.regions.extraction import extract
from objseg.regions.features import FeatureReader
from objseg.regions.making import Boxes, make_proposals
from objseg.regions.proposals import PROPOSALS

RANDOM = np.random.RandomState(0)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return write_trunk(tmp_path_factory.mktemp("trunk"))


@pytest.fixture
def dataset(scenes, tmp_path):
    """The scenes as a data set of their own with proposals, so that a test may change it."""
    shutil.copytree(scenes.parent, tmp_path / "all")
    path = tmp_path / "all" / "demo" / "index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "image_dir": str(tmp_path / "all" / "raw" / "images")}))
    dataset = Dataset(path.parent)
    propose(dataset, dataset.directory / "proposals")
    return dataset


def extracted(dataset, trunk, **changes):
    """Make the features of all 19 images; returns how many were made and how many kept."""
    folder = dataset.directory
    return extract(dataset, folder / "proposals", *trunk, folder / "features", **changes)


def written(dataset):
    """When each file of features was written."""
    files = (dataset.directory / "features").glob("*.h5")
    return {path.stem: path.stat().st_mtime_ns for path in files}


def test_the_features_of_crops_by_hand(trunk):
    image = RANDOM.randint(0, 256, (20, 30, 3)).astype(np.uint8)
    net = caffe.Net(*map(str, trunk), caffe.TEST)
    (w7, b7), (w8, b8) = ([blob.data for blob in net.params[name]] for name in ("fc7", "fc8"))
    # crops of just the net's side, which need no resizing, in several passes
    corners = RANDOM.randint(0, (30 - SIDE, 20 - SIDE), (2 * CROPS_AT_ONCE + 3, 2))
    boxes = np.hstack([corners, corners + SIDE - 1])
    pixels = np.stack([image[y:y + SIDE, x:x + SIDE] for x, y in corners]).astype(float)
    fc7 = np.maximum(np.einsum("nhwc,dchw->nd", pixels - MEAN_BGR, w7) + b7, 0)
    fc8 = fc7 @ w8[:, :, 0, 0].T + b8
    found = CropTrunk(*trunk).features(image, boxes)
    assert 0 < np.count_nonzero(fc7) < fc7.size
    for expected, features in zip((fc7 / 2, fc8 / 4), found):
        assert features.dtype == np.float16
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)


def test_the_slim_trunk_sees_each_crop_as_if_alone(slim_nets):
    deploy = slim_nets / "deploy_crops.prototxt"
    weights = REPOSITORY / "models/slim_trunk.caffemodel"
    image = cv2.resize(RANDOM.randint(0, 256, (9, 12, 3)).astype(np.uint8), (240, 180))
    boxes = np.array([[0, 0, 95, 95], [100, 60, 195, 155], [140, 84, 235, 179]])
    trunk = CropTrunk(deploy, weights)
    regions = trunk(image, boxes)
    net = caffe.Net(str(deploy), str(weights), caffe.TEST)
    for (x, y, _, _), fc7, fc8 in zip(boxes, regions.fc7, regions.fc8):
        pixels = image[y:y + 96, x:x + 96].astype(np.float32) - MEAN_BGR
        net.blobs["image"].data[0] = pixels.transpose(2, 0, 1)
        net.forward()
        np.testing.assert_allclose(fc7, net.blobs["fc7"].data.ravel() / 1000, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(fc8, net.blobs["fc8"].data.ravel() / 1000, rtol=1e-3, atol=1e-3)
    (whole, _) = trunk.features(image, [[0, 0, 239, 179]])
    np.testing.assert_array_equal(regions.context, whole[0])
    assert (regions.width, regions.height) == (240, 180)


def test_a_net_that_has_no_features_of_crops_is_refused(trunk, tmp_path):
    other = tmp_path / "deploy_crops.prototxt"
    other.write_text(trunk[0].read_text().replace("fc8_features", "features"))
    with pytest.raises(UserError, match="deploy_crops.prototxt: not a net of crops.*fc8_feat"):
        CropTrunk(other, trunk[1])


def test_weights_that_overflow_are_refused(trunk, tmp_path):
    net = caffe.Net(*map(str, trunk), caffe.TEST)
    net.params["fc7"][0].data[...] *= 1e9
    net.save(str(tmp_path / "wild.caffemodel"))
    image = np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(UserError, match="wild.caffemodel.*65504"):
        CropTrunk(trunk[0], tmp_path / "wild.caffemodel").features(image, [[0, 0, 8, 8]])


def test_reading_gives_what_computing_gives(dataset, trunk):
    make_proposals(
        dataset, dataset.all_images(), Boxes(PROPOSALS), dataset.directory / "proposals",
        workers=2, overwrite=True,
    )
    assert extracted(dataset, trunk, workers=2) == (19, 0)
    folders = dict(features=dataset.directory / "features", crops=trunk[0], trunk=trunk[1])
    read = region_source(Configuration("scrc-bbox", **folders))
    compute = region_source(Configuration("scrc-bbox", **{**folders, "features": None}))
    reader = FeatureReader(folders["features"])
    assert (reader.fc7, reader.fc8) == (FC7, FC8)
    for image in dataset.images("train")[:4]:
        pixels = read_image(image.path)
        one, other = read(pixels, image.id), compute(pixels, image.id)
        for name, value in one._asdict().items():
            np.testing.assert_array_equal(value, getattr(other, name))
        ids, region_fc8 = reader.read(image.id, "regions", "region_fc8")
        assert [name.decode() for name in ids] == [region.id for region in image.regions]
        _, expected = CropTrunk(*trunk).features(pixels, [r.box for r in image.regions])
        np.testing.assert_array_equal(region_fc8, expected)


def test_only_what_is_outdated_is_made_again(dataset, trunk, tmp_path):
    assert extracted(dataset, trunk) == (19, 0)
    first = written(dataset)
    assert extracted(dataset, trunk) == (0, 19) and written(dataset) == first

    changed, broken = (image.id for image in dataset.images("train")[:2])
    path = dataset.directory / "proposals" / "boxes" / f"{changed}.txt"
    path.write_text(path.read_text() + "1 2 30 40\n")
    (dataset.directory / "features" / f"{broken}.h5").write_bytes(b"no HDF5")
    assert extracted(dataset, trunk) == (2, 17)
    second = written(dataset)
    assert {name for name in first if second[name] != first[name]} == {changed, broken}
    reader = FeatureReader(dataset.directory / "features")
    assert reader(changed).boxes[-1].tolist() == [1, 2, 30, 40]

    other = write_trunk(tmp_path, seed=2)
    assert sha256(other[1]) != sha256(trunk[1])
    assert extracted(dataset, other) == (19, 0)

    index = json.loads((dataset.directory / "index.json").read_text())
    region = dataset.images("val")[0].regions[0].id
    index["regions"][region]["box"][0] += 1
    (dataset.directory / "index.json").write_text(json.dumps(index))
    assert extracted(Dataset(dataset.directory), other) == (1, 18)


def test_a_picture_replaced_by_one_with_an_older_time_gets_new_proposals_and_features(
    dataset, trunk
):
    proposals, images = dataset.directory / "proposals", dataset.all_images()
    make_proposals(dataset, images, Boxes(9), proposals, overwrite=True)
    extracted(dataset, trunk)
    image = images[0]
    pixels, before = read_image(image.path), image.path.stat()
    cv2.imwrite(str(image.path), 255 - pixels)
    os.utime(image.path, (before.st_atime - 1e6, before.st_mtime - 1e6))
    replaced = reprepared(dataset)
    with pytest.raises(UserError, match="extract_features.py"):
        FeatureReader(dataset.directory / "features").check(replaced)
    with pytest.raises(UserError, match=f"such as {image.id}, were made of other pictures.*"
                                        "make_proposals.py"):
        extracted(replaced, trunk)
    _, tally = make_proposals(replaced, replaced.all_images(), Boxes(9), proposals)
    assert tally == {"made": 1, "kept": 18} and extracted(replaced, trunk) == (1, 18)


def reprepared(dataset):
    """Return the data set after another preparation of the same raw files."""
    raw = dataset.directory.parent / "raw"
    prepare(raw, dataset.directory, workers=1)
    return Dataset(dataset.directory)


def test_an_unreadable_image_is_an_error_that_names_it_and_the_others_are_kept(dataset, trunk):
    damaged = dataset.images("train")[3]
    whole = damaged.path.read_bytes()
    damaged.path.write_bytes(whole[:100])
    with pytest.raises(UserError, match=f"{damaged.path.name}.*copy or download it again"):
        extracted(dataset, trunk)
    damaged.path.write_bytes(whole)
    made, kept = extracted(dataset, trunk)
    assert made + kept == 19 and kept == 3


def test_an_image_without_a_box_is_its_own(dataset, trunk):
    empty = dataset.images("train")[1]
    (dataset.directory / "proposals" / "boxes" / f"{empty.id}.txt").write_text("")
    extracted(dataset, trunk)
    regions = FeatureReader(dataset.directory / "features")(empty.id)
    assert regions.boxes.tolist() == [[0, 0, empty.width - 1, empty.height - 1]]
    np.testing.assert_array_equal(regions.fc7[0], regions.context)


def test_features_of_another_preparation_are_refused(dataset, trunk):
    extracted(dataset, trunk)
    reader = FeatureReader(dataset.directory / "features")
    reader.check(dataset)
    path = dataset.directory / "index.json"
    index = json.loads(path.read_text())
    next(iter(index["regions"].values()))["expressions"].append("another expression")
    path.write_text(json.dumps(index))
    changed = Dataset(dataset.directory)
    with pytest.raises(UserError, match="made before the data set .* changed.*extract_feat"):
        reader.check(changed)
    assert extracted(changed, trunk) == (0, 19)
    FeatureReader(dataset.directory / "features").check(changed)


def test_what_is_missing_is_said_with_the_command(dataset, trunk):
    folder = dataset.directory / "features"
    with pytest.raises(UserError, match="index.json does not exist.*extract_features.py"):
        FeatureReader(folder)
    image = dataset.images("train")[0].id
    (dataset.directory / "proposals" / "boxes" / f"{image}.txt").unlink()
    with pytest.raises(UserError, match=f"{image}.txt does not exist.*make_proposals.py"):
        extracted(dataset, trunk)
    shutil.rmtree(dataset.directory / "proposals")
    with pytest.raises(UserError, match="make_proposals.py"):
        extracted(dataset, trunk)


def test_a_file_that_the_index_does_not_list_is_not_believed(dataset, trunk):
    extracted(dataset, trunk)
    image = dataset.images("val")[0].id
    with h5py.File(dataset.directory / "features" / f"{image}.h5", "a") as file:
        file.attrs["key"] = "another"
    with pytest.raises(UserError, match=f"{image}.h5"):
        FeatureReader(dataset.directory / "features")(image)


def test_the_tool(dataset, slim_nets):
    done = run_tool(
        "tools/extract_features.py", "--size", "slim", "--data", dataset.directory,
        "--prototxt", slim_nets, "--workers", 2,
    )
    assert "features of 19 images made" in done.stdout
    regions = FeatureReader(dataset.directory / "features" / "slim")(dataset.images("test")[0].id)
    assert regions.fc7.shape == (len(regions.boxes), 128)
