"""The benchmark: what it counts is right, what it compares is the same, what fails is told."""

import json
import os
import time
from pathlib import Path

import caffe
import cv2
import numpy as np
import pytest
from caffe import layers as L
from conftest import load_tool, run_tool

from models.sizes import SLIM
from objseg import cost
from objseg.attention_batches import AttentionBatchMaker, AttentionSettings
from objseg.benchmark import parts, text
from objseg.benchmark.cores import sizes
from objseg.benchmark.data import make_data
from objseg.benchmark.layers import product_of
from objseg.benchmark.models import columns
from objseg.benchmark.opencv import trunk
from objseg.gpu_check import nets
from objseg.gpu_check.check import Check
from objseg.gpu_check.processes import run_part


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    check = Check(tmp_path_factory.mktemp("benchmark"), None, "slim", 1, None)
    make_data(check.data, SLIM, test=2)
    return check


@pytest.fixture(scope="module")
def tool():
    return load_tool("benchmark")


@pytest.mark.parametrize("name", ["slim/deploy_highres", "slim/deploy_mcg"])
def test_a_convolution_is_a_product_of_as_many_operations(name):
    net = caffe.Net(str(nets.PROTOTXT / f"{name}.prototxt"), caffe.TEST)
    convolutions = [c for c in cost.layer_costs(net) if c.type == "Convolution"]
    assert len(convolutions) >= 16
    for convolution in convolutions:
        M, K, N = product_of(net, convolution.name)
        assert 2 * M * K * N == convolution.forward


@pytest.mark.parametrize("type_name, net_input, settings", [
    ("Convolution", [1, 2, 800, 800], dict(num_output=1, kernel_size=5, pad=2)),
    ("Convolution", [1, 16, 800, 800], dict(num_output=8, kernel_size=1)),
    ("Deconvolution", [1, 2, 400, 400], dict(num_output=16, kernel_size=4, stride=2, group=2)),
])
def test_columns_are_what_a_convolution_comes_to_hold(tmp_path, type_name, net_input, settings):
    net = caffe.NetSpec()
    net.x = L.Input(input_param=dict(shape=dict(dim=net_input)))
    net.y = getattr(L, type_name)(net.x, convolution_param=settings)
    net = nets.load(net.to_proto(), tmp_path, caffe.TEST)
    net.blobs["x"].data[...] = 1
    before = resident()
    net.forward()
    tops = net.blobs["y"].data.nbytes
    assert resident() - before - tops == pytest.approx(columns(net), rel=0.05, abs=2e6)


def resident():
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_the_trunk_is_cut_out_whole(check):
    parameters = nets.read_net(check.path("deploy", "highres"))
    whole = nets.load(parameters, check.work, caffe.TEST)
    nets.fill(whole, parameters)
    whole.forward()
    net = nets.load(trunk(parameters), check.work, caffe.TEST)
    assert list(net.inputs) == ["image"] and list(net.outputs) == ["fc8"]
    for name, blobs in net.params.items():
        for blob, other in zip(blobs, whole.params[name]):
            blob.data[...] = other.data
    net.blobs["image"].data[...] = whole.blobs["image"].data
    np.testing.assert_array_equal(net.forward()["fc8"], whole.blobs["fc8"].data)


def test_every_region_of_the_random_features_can_be_learnt(check):
    maker = AttentionBatchMaker(AttentionSettings(
        data=str(check.data), split="train", batch=3, words=20, vocabulary=SLIM.vocabulary,
        features=str(check.data / "features"),
    ))
    assert maker.left_out == [] and len(maker.samples) > 3
    assert maker(0)["features"].shape == (300, SLIM.fc[1] + 8)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_cores_are_shared_out_without_rest(count):
    splits = [sizes(split) for split in parts.splits(count)]
    assert {(1, count), (count, 1), (1, 1)} == set(splits) and len(splits) == len(set(splits))
    assert parts.environment(f"cores evaluation {count}x1") == {"OPENBLAS_NUM_THREADS": "1"}
    assert parts.environment("net highres") == {}


def test_every_function_is_in_the_plan():
    plan = parts.plan()
    assert len(plan) == len(set(plan))
    assert {part.split()[0] for part in plan} == set(parts.FUNCTIONS)


PARTS = [part for part in parts.plan() if part.split()[0] in ("machine", "net", "evaluation",
                                                              "opencv", "layers")]


@pytest.fixture(scope="module")
def results(check):
    return {part: parts.run(part, check) for part in PARTS}


def test_the_parts_run_and_are_in_the_report(results):
    assert all(map(text.passed, results.values()))
    lines = "\n".join(text.report(json.loads(json.dumps(results)), "slim"))
    for name in (part.split()[1] for part in PARTS if part.startswith("net ")):
        assert f"| {name} | " in lines
    assert "## Failed" not in lines and "PyTorch" not in lines
    # what the layers take one by one is what the iteration multiplies
    layers, highres = results["layers"], results["net highres"]
    assert tuple(layers["operations"]) == tuple(highres["operations"])
    slowest = [sum(row.get(d, 0) for d in ("forward", "backward")) for row in layers["layers"]]
    assert len(slowest) == 10 and slowest == sorted(slowest, reverse=True)
    assert sum(slowest) + sum(layers["rest"].values()) == pytest.approx(layers["seconds"])


def test_another_result_of_opencv_fails(check, monkeypatch):
    read = cv2.dnn.readNetFromCaffe

    class Off:
        def __init__(self, *files):
            self.net = read(*files)
            self.setInput = self.net.setInput

        def forward(self, name):
            return self.net.forward(name) * 1.01

    monkeypatch.setattr(cv2.dnn, "readNetFromCaffe", Off)
    result = parts.run("opencv", check)
    assert result["error"] == pytest.approx(0.01, rel=0.01) and not text.passed(result)


def of_seconds(**seconds):
    return {name.replace("_", " "): {"seconds": [s], "passed": True} for name, s in seconds.items()}


def test_ratios_are_of_the_same_work():
    results = of_seconds(net_highres=2.0, torch_train_1=3.0, torch_shared_1=1.2, torch_alone_1=0.9)
    results["evaluation"] = {"alone": [1.0], "shared": [0.25], "passed": True}
    found = {row[:1] + row[2:3]: (row[3] / row[1], row[4]) for row in text.ratios(results)}
    one = "evaluation, an expression, trunk shared"
    assert found["training, an iteration of an image", "PyTorch"] == (1.5, 1.2)
    assert found[f"{one} by 6", "one at a time, as the authors"] == (4.0, 6)
    assert found[one, "PyTorch, trunk shared"] == (pytest.approx(0.8), 1.2)  # six a pass
    assert found[one, "PyTorch, one at a time"] == (pytest.approx(3.6), None)
    lines = text.report({n: r for n, r in results.items() if n != "net highres"}, "paper")
    text_of = "\n".join(lines)
    assert "4.00 | 6: missed" in text_of and "0.80 | 1.2: missed" in text_of
    assert "training" not in text_of


def test_an_aim_is_reached_at_its_ratio():
    lines = text.report({**of_seconds(torch_train_1=2.4, net_highres=2.0),
                         "net highres": {"failure": "gone"}}, "paper")
    assert "Ratios" not in "\n".join(lines) and "- net highres: gone" in lines
    row = text.ratios({"evaluation": {"alone": [1.5], "shared": [0.25]}})[0]
    assert row[3] / row[1] == row[4]
    assert "6: reached" in "\n".join(text.report(
        {"evaluation": {"alone": [1.5], "shared": [0.25], "passed": True}}, "paper"))


def test_what_a_part_has_started_ends_with_it(tmp_path):
    note = tmp_path / "beats"
    beat = f"while :; do echo >> {note}; sleep 0.05; done"
    result = run_part(["sh", "-c", f"({beat}) & sleep 60"], tmp_path / "answer.json", 1)
    assert result["failure"] == "not done after 1 s (--timeout)"
    size = note.stat().st_size
    time.sleep(0.3)
    assert note.stat().st_size == size > 0


def test_a_part_that_fails_is_told_and_the_rest_goes_on(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n[ \"$1\" = -c ] && exit 0\necho torch is broken\nexit 3\n")
    python.chmod(0o755)
    done = run_tool(
        "tools/benchmark.py", "--size", "slim", "--quick", "--out", tmp_path, "--torch-python",
        python, "--only", "machine|torch train|start|cores evaluation 2x1", check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "torch train 1: error:" in done.stdout and "torch is broken" in done.stdout
    report = (tmp_path / "report.md").read_text()
    assert report in done.stdout and "## Failed\n\n- torch train 1: error:" in report
    answers = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert [name for name, result in answers.items() if not text.passed(result)] \
        == ["torch train 1"]
    assert answers["start"]["memory"] > 0 and answers["cores evaluation 2x1"]["seconds"] > 0
    assert not (tmp_path / "work").exists()


def test_a_document_keeps_what_stands_above_the_mark(tmp_path, tool):
    document = tmp_path / "performance.md"
    document.write_text(f"# Speed\n\n{tool.MARK}old\n")
    tool.put_into(document, ["new"])
    assert document.read_text() == f"# Speed\n\n{tool.MARK}\nnew\n"
    document.write_text("# Speed\n")
    with pytest.raises(ValueError, match="performance.md has no line '<!-- Written by"):
        tool.above_mark(document)
