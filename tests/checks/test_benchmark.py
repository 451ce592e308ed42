"""The benchmark: what it counts is right, what it compares is the same, failures are reported."""

import json
import time

import caffe
import numpy as np
import pytest
from support.commands import run_tool

from checks import nets, parts, report
from checks.layers import caffe_time, time_layers
from checks.processes import choose, join, passed, run_command, sizes
from checks.splits import splits
from checks.timing import times
from models.registry import MODELS
from models.sizes import SIZES, SLIM
from objseg.batches.grounder import GrounderBatchMaker, GrounderSettings
from objseg.errors import UserError
from objseg.training import cost


def test_the_layers_of_an_iteration_are_all_timed_and_counted_as_a_whole(options):
    result = time_layers(options)
    file = options.prototxt("train", "highres")
    parameters = nets.read_train_net(file, options.data, 1)
    net = nets.load(parameters, caffe.TRAIN)
    assert [layer["name"] for layer in result["layers"]] == list(net._layer_names)
    operations = np.sum([layer["operations"] for layer in result["layers"]], axis=0)
    assert tuple(operations) == cost.operations(net, cost.frozen_layers(parameters))
    layers = {layer["name"]: layer for layer in result["layers"]}
    assert layers["conv1_2"]["operations"][1] == 0, "the slim trunk is not learnt"
    assert 4 * layers["conv1_2"]["multiplied"][0] == layers["conv1_2"]["operations"][0]
    for name in ("conv1_1", "mlp_l1"):  # 3 channels; kernels of 1x1
        assert layers[name]["multiplied"] == layers[name]["operations"]
    assert min(layers["mlp_l1"]["seconds"]) > 0 and result["peak"] > 1e9


def test_a_net_that_caffe_refuses_is_no_timing(options):
    net = caffe.NetSpec()
    net.x = caffe.layers.Input(input_param=dict(shape=dict(dim=[1, 1])))
    net.y = caffe.layers.Slice(net.x, slice_param=dict(axis=7))
    with pytest.raises(UserError, match="caffe time: .*axis 7 out of range"):
        caffe_time(net.to_proto(), options.work, None, 1)


def test_every_region_of_the_random_features_can_be_learnt(options):
    maker = GrounderBatchMaker(GrounderSettings(
        data=str(options.data), split="train", batch=3, words=20, vocabulary=SLIM.vocabulary,
        features=str(options.data / "features" / "slim"),
    ))
    assert maker.left_out == [] and len(maker.samples) > 3
    assert maker(0)["features"].shape == (300, SLIM.fc[1] + 8)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_cores_are_divided_without_rest(count):
    found = [sizes(split) for split in splits(count)]
    assert {(1, count), (count, 1), (1, 1)} == set(found) and len(found) == len(set(found))


def test_every_model_is_trained_and_every_size_has_nets():
    models = [part.split()[1] for part in parts.benchmark("paper") if part.startswith("training ")]
    assert sorted(models) == sorted(MODELS)
    for size in SIZES:
        assert nets.path("train", "highres", size).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_an_iteration(options, model):
    result = parts.run(f"training {model} 1", options)
    assert passed(result) and result["memory"] > 0


def test_ratios_are_of_the_same_work():
    names = [
        "segmentation alone", "segmentation shared", "torch alone", "torch shared", "onnx shared",
        "split evaluation 1x2", "split evaluation 1x1", "torch-split evaluation 1x2",
        "split training 1x1", "split training 1x2", "torch-split training 1x2",
        "split mpi-training 2x1", "training highres 1", "torch training 1",
        "training highres 10 TF32", "torch training 10 TF32", "segmentation alone stock",
        "torch-best alone", "split training 1x2 stock", "split training 1x2 slim",
        "split training 1x2 slim stock",
    ]
    found = {(name, other) for name in names for other in report.counterparts(name)
             if other in names}
    assert found == {
        ("segmentation alone", "segmentation alone stock"),
        ("segmentation alone", "torch alone"),
        ("segmentation alone", "torch-best alone"),
        ("segmentation shared", "torch shared"),
        ("segmentation shared", "onnx shared"),
        ("segmentation shared", "segmentation alone"),
        ("split evaluation 1x1", "segmentation alone"),
        ("split evaluation 1x2", "segmentation alone"),
        ("split evaluation 1x2", "torch-split evaluation 1x2"),
        ("split training 1x2", "split training 1x2 stock"),
        ("split training 1x2", "torch-split training 1x2"),
        ("split training 1x2 slim", "split training 1x2 slim stock"),
        ("split mpi-training 2x1", "split training 1x1"),
        ("split mpi-training 2x1", "split training 1x2"),
        ("training highres 1", "torch training 1"),
        ("training highres 10 TF32", "torch training 10 TF32"),
    }


def test_the_report_divides_the_others_time_by_ours_and_compares_nothing_with_a_failure():
    results = {
        "machine": {"facts": {}, "passed": True},
        "onnx": {**times("shared", [(0.5, 1.0)]), "passed": True},
        "segmentation": {**times("alone", [(1.0, 1.5)]), **times("shared", [(0.25, 0.5)]),
                         "passed": True},
        "split evaluation 1x2": {**times("seconds", [(0.2, 0.3), (9, 9), (0.1, 0.1)]),
                                 "passed": True},
        "split training 1x2": {"failure": "gone"},
        "torch-split training 1x2": {**times("seconds", [(1.0, 2.0)]), "passed": True},
    }
    lines = "\n".join(report.markdown(results, "slim"))
    alone = "| segmentation alone | 1 s | 1.5 s |"
    assert f"| segmentation shared | 0.25 s | 0.5 s {alone} 4.00 | 3.00 |" in lines
    shared = "| onnx shared | 0.5 s | 1 s |"
    assert f"| segmentation shared | 0.25 s | 0.5 s {shared} 2.00 | 2.00 |" in lines
    assert f"| split evaluation 1x2 | 0.2 s | 0.3 s {alone} 5.00 | 5.00 |" in lines
    assert "| torch-split training 1x2 | 1 s | 2 s |  |" in lines
    assert "## Failed\n\n- split training 1x2: gone" in lines


def test_rounds_of_a_part_are_joined():
    first, second = ({**times("seconds", [(n, 3 * n)]), "n": n, "others": n / 10} for n in (2, 1))
    assert join(None, first) == first
    assert join(first, second) == {"seconds": [2, 1], "seconds CPU": [6, 3], "n": 1, "others": 0.2}
    failure = {"failure": "gone", "others": 0.0}
    assert join(first, failure) == join(failure, first) == failure


def test_the_processes_of_a_part_end_with_it(tmp_path):
    note = tmp_path / "beats"
    beat = f"while :; do echo >> {note}; sleep 0.05; done"
    result = run_command(["sh", "-c", f"({beat}) & sleep 60"], tmp_path / "answer.json", 1)
    assert result["failure"] == "not done after 1 s (--timeout)"
    size = note.stat().st_size
    time.sleep(0.3)
    assert note.stat().st_size == size > 0


@pytest.mark.slow
def test_a_part_that_fails_is_reported_and_the_rest_goes_on(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n[ \"$1\" = -c ] && exit 0\necho torch is broken\nexit 3\n")
    python.chmod(0o755)
    users = tmp_path / "out" / "work" / "thesis"
    users.parent.mkdir(parents=True)
    users.write_text("of the user")
    done = run_tool(
        "tools/benchmark.py", "--size", "slim", "--iterations", 1, "--out", tmp_path / "out",
        "--torch-python", python,
        "--only", "torch alone", "split evaluation 1x1 stock", "split mpi", check=False,
    )
    assert done.returncode == 1, done.stdout
    text = (tmp_path / "out" / "report.md").read_text()
    assert text in done.stdout and "## Failed\n\n- torch alone: " in text
    assert "torch is broken" in text and str(python) not in text.splitlines()[0]
    answers = json.loads((tmp_path / "out" / "report.json").read_text())["parts"]
    assert [name for name, result in answers.items() if not passed(result)] == ["torch alone"]
    for part in (name for name in answers if name.startswith("split")):
        assert len(answers[part]["seconds"]) == parts.ROUNDS
    assert users.read_text() == "of the user"
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["report.json", "report.md", "work"]


def test_parts_are_chosen_by_the_beginning_of_their_names():
    plan = ["machine", "net x", "net y", "torch alone", "net x"]
    assert choose(plan, (), with_torch=True) == plan
    assert choose(plan, ["net x", "torch"], with_torch=True) == [
        "machine", "net x", "torch alone", "net x"]
    with pytest.raises(UserError, match="--only torch: no part's name .* are machine, net x, net"):
        choose(plan, ["torch"], with_torch=False)
