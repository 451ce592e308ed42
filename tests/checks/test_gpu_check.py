"""The check of a GPU finds planted errors, in their place, and passes without one."""

import json
import shutil
import sys
import time
from functools import partial

import caffe
import l2_normalization
import numpy as np
import pytest
from caffe import layers as L
from support.commands import run_tool

from checks import machine, nets, parts, report
from checks.comparison import (
    LIMITS,
    Comparison,
    Difference,
    Side,
    greatest_error,
    length_error,
    summary,
)
from checks.correctness import compare_with_torch
from checks.nets import first_computed
from checks.options import Options
from checks.processes import passed, run_part
from checks.timing import run_iterations
from checks.torch_python import try_torch
from objseg.caffe import cuda_driver
from objseg.caffe.weights import read_net
from objseg.errors import UserError


def load(options):
    """Load the slim high resolution train net; every weight is learnt."""
    caffe.set_mode_cpu()
    parameters = nets.read_train_net(options.prototxt("train", "highres"), options.data, 1)
    return nets.load(nets.comparable(parameters), caffe.TRAIN)


@pytest.fixture
def net(options):
    """The reference's net, with a batch in it."""
    net = load(options)
    net._forward(0, first_computed(net) - 1)
    return net


@pytest.fixture
def other(options):
    """The same net for the device."""
    return load(options)


def compare(net, other, use_reference=caffe.set_mode_cpu, use_device=caffe.set_mode_cpu):
    return Comparison(Side(net, use_reference), Side(other, use_device))


def beyond(differences, limit):
    return {(d.layer, d.direction) for d in differences if not d.error <= limit}


def test_a_device_that_is_right_differs_by_nothing_and_the_reference_keeps_all_values(net, other):
    comparison = compare(net, other)
    layers, whole = list(comparison.layers()), list(comparison.whole())
    assert {d.error for d in layers + whole} == {0.0}
    left = [blob.diff.copy() for blobs in net.params.values() for blob in blobs]
    net.clear_param_diffs()
    net.forward(start=net._layer_names[first_computed(net)])
    net.backward()
    for found, blob in zip(left, (b for blobs in net.params.values() for b in blobs)):
        np.testing.assert_array_equal(found, blob.diff)
        assert blob.diff.any()
    # every layer is there in both directions
    assert {d.layer for d in layers if d.direction == "forward"} >= set(net.params)
    assert {d.layer for d in layers if d.direction == "backward"} >= set(net.params)


def test_an_error_in_a_kernel_shows_in_its_layer_alone(net, other):
    """The device multiplies fc7's weights by 1.05, as a wrong kernel would."""
    comparison = compare(net, other)
    other.params["fc7"][0].data[...] *= 1.05
    limits = LIMITS["float32"]
    found = beyond(comparison.layers(), limits.layer)
    assert found == {("fc7", "forward"), ("fc7", "backward")}
    whole = beyond(comparison.whole(), limits.values)
    assert ("relu7", "forward") in whole and ("relu6", "forward") not in whole


def test_an_error_in_a_gradient_shows_in_its_layer_alone(net, other, monkeypatch):
    right = l2_normalization.l2_normalize_gradient

    def use(function):
        return lambda: monkeypatch.setattr(l2_normalization, "l2_normalize_gradient", function)

    comparison = compare(net, other, use(right), use(lambda *arguments: -right(*arguments)))
    found = beyond(comparison.layers(), LIMITS["float32"].layer)
    assert found == {("features_unit", "backward"), ("expression_unit", "backward")}
    whole = beyond(comparison.whole(), LIMITS["float32"].gradients)
    assert ("lstm", "backward") in whole and ("mlp_l1", "backward") not in whole


class NetWithIdleLayers:
    """A net of which some layers write nothing in one direction."""

    def __init__(self, net, layers, direction):
        self.net = net
        names = list(net._layer_names)
        self.left_out = {(direction, names.index(layer)) for layer in layers}

    def __getattr__(self, name):
        return getattr(self.net, name)

    def _forward(self, first, last):
        self._pass("forward", range(first, last + 1))

    def _backward(self, first, last):
        self._pass("backward", range(first, last - 1, -1))

    def _pass(self, direction, indices):
        for index in indices:
            name = self.net._layer_names[index]
            blobs = [self.net.blobs[top] for top in self.net.top_names[name]]
            if direction == "backward":
                blobs = [self.net.blobs[bottom] for bottom in self.net.bottom_names[name]]
                blobs += self.net.layers[index].blobs
            kind = "data" if direction == "forward" else "diff"
            before = [getattr(blob, kind).copy() for blob in blobs]
            getattr(self.net, f"_{direction}")(index, index)
            if (direction, index) in self.left_out:
                for blob, array in zip(blobs, before):
                    getattr(blob, kind)[...] = array


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_layers_that_write_nothing_on_the_device_fail_and_no_others(net, other, direction):
    layers = {"conv5_3", "relu5_3", "pool5", "features_unit", "embedding", "lstm", "upsample32s",
              "loss"}
    comparison = compare(net, NetWithIdleLayers(other, layers, direction))
    limits = LIMITS["TF32"]
    found = list(comparison.layers())
    assert beyond(found, limits.layer) == {(layer, direction) for layer in layers}
    for layer in layers:
        assert max(d.error for d in found if d.layer == layer) > 0.1
    limit = limits.values if direction == "forward" else limits.gradients
    assert beyond(comparison.whole(), limit)


@pytest.mark.parametrize("in_place", [True, False])
def test_each_device_goes_backward_from_its_own_forward_pass(in_place):
    """Dropout's mask on a GPU is none that the CPU can read; here each device drops others."""
    spec = caffe.NetSpec()
    spec.x, spec.target = (L.Input(input_param=dict(shape=dict(dim=[4, 50]))) for _ in range(2))
    spec.scores = L.InnerProduct(spec.x, num_output=50, weight_filler=dict(type="xavier"))
    spec.drop = L.Dropout(spec.scores, in_place=in_place)
    spec.loss = L.EuclideanLoss(spec.drop, spec.target)
    caffe.set_mode_cpu()
    net, other = (nets.load(spec.to_proto(), caffe.TRAIN) for _ in range(2))
    net.blobs["x"].data[...] = net.blobs["target"].data[...] = 1
    comparison = compare(net, other, *(partial(caffe.set_random_seed, seed) for seed in (1, 2)))
    different = {(d.layer, d.direction) for d in comparison.layers() if d.error}
    assert different == {("drop", "forward"), ("drop", "backward")}


def test_weights_rounded_as_tf32_does_pass_as_tf32_and_are_seen(net, other):
    comparison = compare(net, other)
    for blob in (blob for blobs in other.params.values() for blob in blobs):
        bits = blob.data.view(np.uint32) + np.uint32(0x1000) & np.uint32(0xffffe000)
        blob.data[...] = bits.view(np.float32)  # 10 bits after the point
    limits = LIMITS["TF32"]
    worst, failed = summary(comparison.layers(), limits.layer, limits.layer)
    assert not failed and 1e-5 < worst["Convolution"]["forward"] < limits.layer
    _, failed = summary(comparison.whole(), limits.values, limits.gradients)
    assert not failed


def test_the_errors_are_relative_and_nan_fails():
    expected = np.array([[3.0, -4.0]])
    assert greatest_error(expected, expected + [[0.0, 0.4]]) == pytest.approx(0.1)
    assert length_error(expected, expected + [[0.3, 0.4]]) == pytest.approx(0.1)
    assert greatest_error(np.zeros(2), np.full(2, 7.0)) == 7.0
    difference = Difference("relu", "ReLU", "forward", "relu", np.nan)
    worst, failed = summary([difference], 1.0, 1.0)
    assert failed == [difference] and np.isnan(worst["ReLU"]["forward"])


def test_every_committed_net_is_in_the_plan():
    plan = parts.gpu_check("paper", [1, 10], tf32=True)
    files = [*nets.PROTOTXT.rglob("train_*"), *nets.PROTOTXT.rglob("deploy_*")]
    slim = {file.stem for file in files if file.parent.name == "slim"}
    assert slim == {file.stem for file in files if file.parent.name != "slim"}
    planned = {part.split()[1] for part in plan if part.startswith("net ")}
    assert planned == {f"slim/{name}" for name in slim} | {
        name for name in slim if name.startswith("train_")}
    without = [part for part in plan if not part.endswith(" TF32")]
    assert parts.gpu_check("paper", [1, 10], tf32=False) == without != plan


def test_no_layer_type_is_forgotten():
    every = nets.layer_types(nets.committed("train", "deploy"))
    assert nets.layer_types(parts.compared_nets("paper")) == every
    assert {"LSTM", "Embed", "Deconvolution", "Python"} <= every


def test_inputs_are_of_the_kind_that_their_layers_take():
    for path in (nets.PROTOTXT / "slim").glob("deploy_*"):
        parameters = read_net(path)
        net = nets.load(parameters, caffe.TEST)
        nets.fill(net)
        (output, *_) = net.forward().values()
        assert np.isfinite(output).all(), path
        if "tokens" in net.blobs:
            rows = net.params["embedding"][0].shape[0]
            tokens = net.blobs["tokens"].data
            assert 0 <= tokens.min() and tokens.max() < rows and (tokens % 1 == 0).all()
            assert not net.blobs["continuation"].data[0].any()


@pytest.mark.parametrize("capability, note", [
    ((7, 5), "0: a card, compute capability 7.5, without TF32: those parts are left out"),
    ((9, 0), "0: a card, compute capability 9.0"),
])
def test_a_gpu_is_described(monkeypatch, options, capability, note):
    monkeypatch.setattr(machine, "use_device", lambda gpu: None)
    for name, answer in {
        "devices": [cuda_driver.Device(0, "a card", capability)], "memory": (2**30, 2**32),
        "driver_version": None, "cuda_version": (13, 0),
    }.items():
        monkeypatch.setattr(cuda_driver, name, lambda answer=answer: answer)
    facts = machine.describe_machine(Options(options.work, gpu=0))["facts"]
    assert facts["GPU"] == note and facts["GPU memory"] == "4.0 GiB, 1.0 GiB free"
    assert facts["driver"] == "version unknown, serves CUDA up to 13.0"


@pytest.mark.slow
def test_a_rehearsal_runs_to_its_end(tmp_path):
    done = run_tool(
        "tools/gpu_check.py", "--rehearse", "--size", "slim", "--iterations", 1, "--images", 1,
        "--out", tmp_path,
        "--only", "solvers", "net slim/train_highres", "training highres", "segmentation",
    )
    text = (tmp_path / "report.md").read_text()
    assert text in done.stdout and "Rehearsal" in text and "All parts passed" in text
    results = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert len(results) == 5 and all(map(passed, results.values()))
    training = results["training highres 1"]
    assert len(training["losses"]) == 2 and np.isfinite(training["losses"]).all()
    assert len(training["seconds"]) == 1 and training["operations"][1] > 0
    segmentation = results["segmentation"]
    assert np.mean(segmentation["alone"]) > np.mean(segmentation["shared"]) > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_an_iteration_is_over_when_the_device_is(options, tmp_path):
    parameters = nets.read_train_net(options.prototxt("train", "grounder"), options.data, 1)
    solver, _ = nets.solver_of(tmp_path, options.prototxt("solver", "grounder"), parameters)
    ended = []

    def wait():
        time.sleep(0.2)
        ended.append(solver.iter)

    result = run_iterations(solver, 2, wait)
    assert ended == [1, 2, 3] and len(result["losses"]) == 3
    assert len(result["seconds"]) == 2 and min(result["seconds"]) >= 0.2
    assert all(0 <= data < 0.2 for data in result["data_seconds"])


def test_a_part_that_fails_is_recorded_and_reported(options):
    result = run_part("net slim/train_nothing", options)
    assert "train_nothing" in result["failure"] and not passed(result)
    machine = {"facts": {}, "passed": True}
    text = "\n".join(report.markdown(
        {"machine": machine, "net slim/train_nothing": result}, "slim"
    ))
    assert "- net slim/train_nothing: " in text and "All parts passed" not in text


def test_a_difference_is_named_in_the_report():
    difference = Difference("fc7", "Convolution", "forward", "fc7", 0.3)
    result = dict(
        arithmetic="float32", limits=LIMITS["float32"]._asdict(), passed=False,
        layers={"Convolution": {"forward": 0.3}}, whole={"Convolution": {"forward": 0.2}},
        failed=[difference._asdict()],
    )
    results = {"machine": {"facts": {}, "passed": True}, "net slim/train_lowres": result}
    text = "\n".join(report.markdown(results, "slim"))
    assert "| Convolution | 3.0e-01 | - |" in text
    assert "| slim/train_lowres | 2.0e-01 | - | FAILED |" in text
    assert "fc7 (Convolution) forward, fc7: error 3.0e-01" in text


def test_pytorch_computes_the_same_scores_and_gradients(options):
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")  # none of the environment
    try:
        try_torch(python or "python3", gpu=None)
    except UserError:
        pytest.skip("no Python with torch")
    result = compare_with_torch(Options(options.work, torch_python=python))
    assert passed(result), result["errors"]


def test_a_torch_that_sees_no_gpu_is_refused_for_one(tmp_path, monkeypatch):
    """A stand-in for torch sees none."""
    (tmp_path / "torch.py").write_text("def zeros(n): raise RuntimeError('No GPUs')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    try_torch(sys.executable, gpu=None)
    with pytest.raises(UserError, match="--torch-python: .*python.*: RuntimeError: No GPUs"):
        try_torch(sys.executable, gpu=0)


def test_a_python_without_torch_is_an_error(tmp_path):
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\nexit 1\n")
    empty.chmod(0o755)
    for path in ("/nowhere/python", empty):
        with pytest.raises(UserError, match=f"--torch-python: .*{path}"):
            try_torch(str(path), None)
