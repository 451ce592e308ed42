"""Timing: a method that moves its own clock, the cases that are drawn, and the tool."""

import json
from dataclasses import replace

import caffe
import numpy as np
import pytest
from support.commands import run_tool
from support.halves import make_dataset

from models.sizes import SIZES
from objseg.data.dataset import Dataset
from objseg.data.images import read_image
from objseg.errors import UserError
from objseg.evaluation.table2 import (
    Case,
    draw_cases,
    measure,
    quartiles,
    seconds_per_expression,
    table,
)
from objseg.files import sha256
from objseg.methods.configuration import configure, conventional_prototxt

SLIM = SIZES["slim"]


class Method:
    """Masks that take ``find`` seconds an image and ``draw`` seconds each, by its own ``clock``.

    The first call of an image takes an hour more. ``calls`` lists (image, expressions).
    """

    def __init__(self, find, draw):
        self.now, self.calls, self.find, self.draw = 1e6, [], find, draw

    def clock(self):
        return self.now

    def __call__(self, image, expressions):
        self.now += self.find * image + (0 if self.calls else 3600)
        self.calls.append((image, list(expressions)))
        return [(self.drawn(expressions), None)]

    def drawn(self, expressions):
        for _ in expressions:
            self.now += self.draw
            yield None


def test_a_call_is_shared_by_its_expressions_and_the_first_does_not_count():
    method = Method(find=4, draw=0.5)
    inputs = [(1, ["a"]), (1, ["a", "b", "c", "d"]), (3, ["a", "b"])]
    assert seconds_per_expression(method, inputs, clock=method.clock) == [4.5, 1.5, 6.5]
    assert method.calls == [inputs[0], *inputs]


def test_alone_and_shared_are_over_the_images():
    method = Method(find=10, draw=1)
    cases = [Case(image, ["a"] * count, "b") for image, count in ((1, 1), (2, 2), (3, 5), (5, 10))]
    steps = []
    found = measure(method, cases, lambda: steps.append(0), method.clock)
    assert found["alone"] == quartiles([11, 21, 31, 51])
    assert found["shared"] == quartiles([11, 11, 7, 6])
    assert len(steps) == 2 * len(cases)
    assert [expressions for _, expressions in method.calls[:5]] == [["b"]] * 5


def test_quartiles_and_median():
    seconds = np.random.RandomState(0).permutation(np.arange(101.0))
    assert quartiles(seconds) == {"median": 50, "low": 25, "high": 75}
    assert quartiles([3.0]) == {"median": 3, "low": 3, "high": 3}


# ---- the cases ----

def test_cases_are_of_different_images_and_always_the_same(scenes):
    dataset = Dataset(scenes)
    cases = draw_cases(dataset, "train", 5)
    assert len(cases) == 5
    by_pixels = {
        read_image(image.path).tobytes(): [t for r in image.regions for t in r.expressions]
        for image in dataset.images("train")
    }
    assert len({case.image.tobytes() for case in cases}) == 5
    for case in cases:
        assert case.expressions == by_pixels[case.image.tobytes()]
        assert case.one in case.expressions
    again = draw_cases(dataset, "train", 5)
    assert [case[1:] for case in again] == [case[1:] for case in cases]
    assert len(draw_cases(dataset, "train", 1000)) == len(dataset.images("train"))


def test_images_without_expressions_are_not_drawn(tmp_path):
    dataset = make_dataset(tmp_path / "set", count=4)
    index = json.loads((dataset.directory / "index.json").read_text())
    for region in index["regions"].values():
        if region["image"] in "02":
            region["expressions"] = []
    (dataset.directory / "index.json").write_text(json.dumps(index))
    cases = draw_cases(Dataset(dataset.directory), "test", 10)
    assert sorted(case.image.shape[0] for case in cases) == [44, 52]
    assert all(case.expressions for case in cases)
    with pytest.raises(UserError, match="no image with an expression.*0 images"):
        draw_cases(Dataset(dataset.directory), "train", 10)


# ---- the tool ----

def test_a_missing_trunk_is_found_before_anything_runs(scenes, tmp_path):
    weights = tmp_path / "scrc.caffemodel"
    weights.touch()
    recipes = {**SLIM.recipes, "lowres": replace(SLIM.recipes["lowres"], start="models/no.trunk")}
    size = replace(SLIM, recipes=recipes)
    with pytest.raises(UserError, match="no.trunk does not exist.*tools/pretrain_trunk.py"):
        configure("scrc-bbox", size, scenes, weights, cached=False)
    made = configure("scrc-bbox", SLIM, scenes, weights, cached=False)
    assert made.features is None and made.proposals is None


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of the slim highres net, a path."""
    path = tmp_path_factory.mktemp("weights") / "highres.caffemodel"
    deploy = conventional_prototxt(SLIM) / "deploy_highres.prototxt"
    caffe.Net(str(deploy), caffe.TEST).save(str(path))
    return path


@pytest.mark.slow
def test_the_tool_times_methods(scenes, weights, tmp_path):
    command = (
        "tools/time_referit.py", "--data", scenes, "--size", "slim", "--method", "highres",
        "--method", "whole-image", "--weights", weights, "--out", tmp_path, "--resume", "--samples",
    )
    printed = run_tool(*command, 3).stdout
    outcome = json.loads((tmp_path / "timing.json").read_text())
    methods = outcome.pop("methods")
    assert outcome.pop("of")["methods"][1]["weights"] == sha256(weights)
    assert outcome.pop("device") and outcome.pop("threads") >= 1
    assert outcome == {
        "data": "demo", "split": "test", "size": "slim", "samples": 3,
        "notes": ["synthetic images", "expressions made by a program"],
    }
    assert [(m["method"], m["title"], m["paper"]) for m in methods] == [
        ("whole-image", "whole image", None), ("highres", "Ours (high resolution)", None),
    ]
    for method in methods:
        for name in ("alone", "shared"):
            assert 0 < method[name]["low"] <= method[name]["median"] <= method[name]["high"]
    assert "\n".join(table(json.loads((tmp_path / "timing.json").read_text()))) in printed
    assert "demo (synthetic images, expressions made by a program), split test, size" in printed
    assert "0.325" not in printed  # the paper's time is that of its own size
    assert "time: 12/12 call" in printed
    before = (tmp_path / "timing.json").read_bytes()
    assert "kept" in run_tool(*command, 3).stdout  # times are made once,
    assert (tmp_path / "timing.json").read_bytes() == before
    assert "time: 4/4 call" in run_tool(*command, 1).stdout  # and again of something else


def test_a_missing_file_stops_the_tool_before_it_measures(scenes, tmp_path):
    done = run_tool(
        "tools/time_referit.py", "--data", scenes, "--size", "slim", "--method", "highres",
        "--weights", f"highres={tmp_path / 'none'}", "--out", tmp_path / "out",
        check=False,
    )
    assert done.returncode == 1 and "does not exist" in done.stdout
    assert "time:" not in done.stdout and not (tmp_path / "out").exists()
