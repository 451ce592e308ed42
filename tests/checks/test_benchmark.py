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
from support.commands import load_tool, run_tool

from checks.benchmark import parts, text
from checks.benchmark.cores import sizes
from checks.benchmark.data import make_data
from checks.benchmark.layers import product_of
from checks.benchmark.models import columns
from checks.benchmark.opencv import trunk
from checks.gpu import nets
from checks.gpu.check import Check
from checks.gpu.processes import run_part
from models.sizes import SLIM
from objseg.batches.grounder import GrounderBatchMaker, GrounderSettings
from objseg.errors import UserError
from objseg.training import cost


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
    maker = GrounderBatchMaker(GrounderSettings(
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
    assert set(map(plan.count, set(plan))) == {1, parts.ROUNDS}
    assert {part.split()[0] for part in plan} == set(parts.FUNCTIONS)


PARTS = [part for part in dict.fromkeys(parts.plan())
         if part.split()[0] in ("machine", "net", "evaluation", "opencv", "layers")]


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


def test_ratios_are_of_the_same_work():
    results = {
        "evaluation": {"alone": [1.0], "shared": [0.25], "passed": True},
        "ranks 2": {"seconds": [3.0], "bytes": 6e8, "passed": True},
        **{name: {"seconds": seconds, "passed": True} for name, seconds in {
            "torch alone 1": [0.9], "cores evaluation 1x2": [0.2, 9, 0.1],
            "cores evaluation 1x1": [0.5], "torch-cores shared 1x2": [0.18],
            "cores training 1x1": [4.5], "cores training 1x2": [2.0],
            "torch-cores train 1x2": [3.0],
        }.items()},
    }
    found = {row[:1] + row[2:3]: (row[3] / row[1], row[4]) for row in text.ratios(results)}
    one, apart = "evaluation, an expression, trunk shared", "one at a time, as the authors"
    assert found == {
        (f"{one} by 6", apart): (4.0, None),
        (f"{one}, 1x2", apart): (5.0, 6),
        (one, "PyTorch, one at a time"): (pytest.approx(3.6), None),
        ("evaluation, an expression, one at a time", "PyTorch, one at a time"): (0.9, None),
        (f"{one}, 1x2", "PyTorch, the same, 1x2"): (pytest.approx(0.9), 1.2),
        ("training, an image, 1x2", "PyTorch, the same, 1x2"): (1.5, 1.2),
        ("training, an image, 2 processes over MPI", "one process, 1x1"): (1.5, None),
        ("training, an image, 2 processes over MPI", "one process, 1x2"): (pytest.approx(2 / 3),
                                                                          None),
    }
    printed = "\n".join(text.report(results, "paper"))
    assert "5.00 | 6: missed" in printed and "1.50 | 1.2: reached" in printed
    assert "of 2 processes each sends 600 MB" in printed


def test_a_failure_is_told_and_compared_with_nothing():
    lines = text.report({"cores training 1x2": {"failure": "gone"},
                         "torch-cores train 1x2": {"seconds": [1.0], "passed": True}}, "paper")
    assert "## Ratios" not in lines and "- cores training 1x2: gone" in lines


def test_rounds_of_a_part_are_joined(tool):
    first, second = ({"seconds": [n], "n": n, "others": n / 10} for n in (2, 1))
    assert tool.join(None, first) == first
    assert tool.join(first, second) == {"seconds": [2, 1], "n": 1, "others": 0.2}
    failure = {"failure": "gone", "others": 0.0}
    assert tool.join(first, failure) == tool.join(failure, first) == failure


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
        python, "--only", "machine|torch alone|start|cores evaluation 2x1|ranks", check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "torch alone 1: error:" in done.stdout and "torch is broken" in done.stdout
    report = (tmp_path / "report.md").read_text()
    assert report in done.stdout and "## Failed\n\n- torch alone 1: error:" in report
    answers = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert [name for name, result in answers.items() if not text.passed(result)] \
        == ["torch alone 1"]
    assert answers["start"]["memory"] > 0
    for part in ("cores evaluation 2x1", *[name for name in answers if name.startswith("ranks")]):
        assert len(answers[part]["seconds"]) == parts.ROUNDS
    assert not (tmp_path / "work").exists()


def test_a_document_keeps_what_stands_above_the_mark(tmp_path, tool):
    document = tmp_path / "performance.md"
    document.write_text(f"# Speed\n\n{tool.MARK}old\n")
    tool.put_into(document, ["new"])
    assert document.read_text() == f"# Speed\n\n{tool.MARK}\nnew\n"
    document.write_text("# Speed\n")
    with pytest.raises(UserError, match="performance.md has no line '<!-- Written by"):
        tool.above_mark(document)
