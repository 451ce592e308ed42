"""What makes two training runs the same run, as far as it lies in files beside the data set."""

import json

import pytest
from caffe.proto import caffe_pb2

from objseg.data.dataset import Dataset
from objseg.regions.extraction import write_index
from objseg.training.fingerprint import differences, fingerprint


@pytest.fixture
def dataset(scenes):
    return Dataset(scenes)


def run_on(dataset, **batches):
    """The fingerprint of a run on the train split whose data layer has the parameters given."""
    net = caffe_pb2.NetParameter()
    data = net.layer.add(name="data")
    data.python_param.param_str = json.dumps({"split": "train", **batches})
    return fingerprint(dataset, "slim", net, "base_lr: 1")


def test_segments_that_are_trained_on_count_and_others_do_not(dataset, tmp_path):
    for image in dataset.all_images():
        (tmp_path / f"{image.id}.npz").write_text("segments")
    before = run_on(dataset, proposals=str(tmp_path))
    trained, other = dataset.images("train")[3], dataset.images("test")[0]
    (tmp_path / f"{other.id}.npz").write_text("other segments")
    assert not differences(before, run_on(dataset, proposals=str(tmp_path)))
    (tmp_path / f"{trained.id}.npz").write_text("other segments")
    assert "regions: segments was" in differences(before, run_on(dataset, proposals=str(tmp_path)))


def test_features_that_are_trained_on_count_and_others_do_not(dataset, tmp_path):
    keys = {image.id: "a" for image in dataset.all_images()}

    def with_keys(changed):
        write_index(tmp_path, dataset, changed, 1, 1, "a trunk")
        return run_on(dataset, features=str(tmp_path))

    before = with_keys(keys)
    trained, other = dataset.images("train")[3], dataset.images("test")[0]
    assert not differences(before, with_keys({**keys, other.id: "b"}))
    assert "regions: features was" in differences(before, with_keys({**keys, trained.id: "b"}))


def test_where_they_lie_does_not_count(dataset, tmp_path):
    one, other = (run_on(dataset, proposals=str(tmp_path / name)) for name in ("one", "other"))
    assert not differences(one, other)


def test_the_arithmetic_counts_and_earlier_snapshots_are_stock(dataset, monkeypatch):
    ours = run_on(dataset)
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    stock = run_on(dataset)
    before = {part: value for part, value in stock.items() if part != "arithmetic"}
    for earlier in (stock, before):
        assert not differences(earlier, stock)
        assert differences(earlier, ours) == "arithmetic: CAFFE_STOCK_CPU was 1, is 0"
