"""The steps of a reproduction: a changed input redoes what depends on it, and nothing else."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from support.commands import load_tool

from models.registry import MODELS
from models.sizes import SIZES
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.configuration import Options, configure
from objseg.regions.features import write_index

reproduce = load_tool("reproduce")
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


class Steps:
    """A finished reproduction in a folder, all of its files made at second 1000."""

    def __init__(self, folder, monkeypatch, *switches):
        monkeypatch.setattr(sys, "argv", [
            "reproduce.py", "--size", "slim", "--data", str(folder / "data"), "--raw",
            str(folder / "raw"), "--out", str(folder / "out"), *switches,
        ])
        self.folder = folder
        self.values = reproduce.variables(reproduce.parse(), cores=2, jobs=2)
        for name in ("PROTOTXT", "TRUNK", "START_per-word"):  # copies: tests change their times
            self.values[name] = folder / "inputs" / self.values[name].name
        self.weights = {model: self.values[f"WEIGHTS_{model}"] for model in MODELS}
        files = [
            folder / "raw" / "RealGames.txt", folder / "data" / "index.json",
            folder / "data" / "features" / "slim" / "index.json",
            folder / "out" / "timing.json", folder / "out" / "report.html",
            *(folder / "out" / "steps" / name for name in (
                "switches", "published", "forest", "boxes.begun", "segments.begun")),
            self.values["TRUNK"],
            self.values["PROTOTXT"] / "deploy_crops.prototxt", *self.weights.values(),
            *(folder / "out" / "steps" / name for name in ("boxes", "segments", *MODELS)),
            *(self.values["PROTOTXT"] / f"{kind}_{model}.prototxt"
              for model in MODELS for kind in ("train", "solver")),
        ]
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1000, 1000))

    def after(self, *changed):
        """What would run when files are ``changed``: a set of tools, and of models for train.py.

        A model that starts afresh instead of going on is named with a "!" behind, and so are
        proposals that may delete those of other settings.
        """
        for path in changed:
            os.utime(self.folder / path, (2000, 2000))
        done = subprocess.run(
            ["make", "--dry-run", "--file", REPOSITORY / "tools" / "reproduce.mk",
             *(f"{name}={value}" for name, value in self.values.items())],
            capture_output=True, text=True, check=True,
        )
        fresh = set(re.findall(r"^rm -f .*/weights/([\w-]+)_iter_\*$", done.stdout, re.M))
        tool = r"^(?:OPENBLAS_NUM_THREADS=\d+ )?python tools/(?!train)(\w+)\.py"
        found = set(re.findall(tool, done.stdout, re.M))
        kinds = [kind + "!" * bool(overwrite) for kind, overwrite in re.findall(
            r"make_proposals.py .*--kind (\w+).*\\\n(?:.*(--overwrite))?", done.stdout
        )]
        trained = re.findall(r"^python tools/train\.py --model ([\w-]+)", done.stdout, re.M)
        return (found - {"make_proposals"} | {*kinds}
                | {model + "!" * (model in fresh) for model in trained})


@pytest.fixture
def steps(tmp_path, monkeypatch):
    return Steps(tmp_path, monkeypatch)


LAST = {"time_referit", "eval_referit"}


def test_nothing_changed_nothing_runs(steps):
    assert steps.after() == set()


@pytest.mark.parametrize("changed, expected", [
    ("out/timing.json", {"eval_referit"}),
    ("data/features/slim/index.json", {"scrc!", "grounder!", *LAST}),
    ("out/steps/segments", {"mcg!", *LAST}),
    ("out/steps/forest", {"boxes!", "extract_features", "scrc!", "grounder!", *LAST}),
    ("out/steps/boxes", {"extract_features", "scrc!", "grounder!", *LAST}),
    ("inputs/slim/train_grounder.prototxt", {"grounder!", *LAST}),
    ("inputs/slim/solver_lowres.prototxt", {"lowres!", "highres!", *LAST}),
    ("inputs/slim/train_highres.prototxt", {"highres!", *LAST}),
    ("inputs/slim/deploy_crops.prototxt", {"extract_features", "scrc!", "grounder!", *LAST}),
    ("out/steps/switches", {*(f"{model}!" for model in MODELS), *LAST}),
    ("data/index.json", {"boxes!", "segments!", "extract_features",
                         *(f"{model}!" for model in MODELS), *LAST}),
])
def test_a_changed_input_redoes_what_depends_on_it(steps, changed, expected):
    assert steps.after(changed) == expected


def test_changed_raw_data_redoes_everything(steps):
    steps.after("raw/RealGames.txt")
    assert steps.after() >= {"prepare_referit", "boxes!", "segments!", "extract_features", *LAST}


def test_other_lists_replace_what_was_begun_here_and_nothing_else(steps):
    (steps.folder / "out" / "steps" / "segments.begun").unlink()
    assert steps.after("out/steps/published") >= {"boxes!", "segments", "extract_features", "mcg!"}


def test_lists_that_arrive_are_taken(steps):
    steps.values["PUBLISHED"] = steps.folder / "lists"
    steps.values["PUBLISHED"].mkdir()
    assert steps.after() >= {"boxes!", "segments!"}


def test_new_photographs_are_prepared(steps):
    (steps.folder / "raw" / "images").mkdir()
    assert "prepare_referit" in steps.after()


def test_interrupted_training_goes_on(steps):
    steps.weights["scrc"].unlink()
    assert steps.after() == {"scrc", *LAST}


def test_stage_two_follows_stage_one(steps):
    steps.weights["lowres"].unlink()
    assert steps.after() == {"lowres", "highres!", *LAST}


def test_missing_raw_data_leaves_the_prepared(steps):
    shutil.rmtree(steps.folder / "raw")
    assert steps.after() == set()


def test_switches_of_training_name_the_weights(tmp_path, monkeypatch):
    steps = Steps(tmp_path, monkeypatch, "--", "--iterations", "7", "--train-convnet")
    assert steps.weights["mcg"].name == "mcg_iter_7.caffemodel"
    assert steps.values["SWITCHES"] == "--iterations 7 --train-convnet"


def test_the_nets_that_the_switches_made_are_evaluated(tmp_path, monkeypatch, scenes):
    """In the folder where training leaves them there is no net for the crops of boxes."""
    prototxt = tmp_path / "out" / "weights" / "prototxt"
    steps = Steps(tmp_path, monkeypatch, "--", "--vocabulary-size", "3000")
    assert steps.values["NAMED"].startswith(f"--prototxt {prototxt} --weights ")
    prototxt.mkdir()
    (prototxt / "deploy_grounder.prototxt").touch()
    features = tmp_path / "data" / "features" / "slim"
    write_index(features, tmp_path / "data", {}, {}, 1, 1, "a trunk")
    for cached, other in ((True, {"features": features}), (False, {"features": None})):
        made = configure(
            "grounder-bbox", SIZES["slim"], tmp_path / "data",
            Options(steps.weights["grounder"], scenes / "vocabulary.txt", prototxt, cached=cached),
        )
        assert made.deploy == prototxt / "deploy_grounder.prototxt"
        assert {"features": made.features} == other and (made.crops is None) == cached


def test_a_missing_trunk_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch):
    steps = Steps(tmp_path, monkeypatch)
    without = {**steps.values, "TRUNK": tmp_path / "no"}
    monkeypatch.setattr(reproduce, "variables", lambda *_: without)
    with pytest.raises(UserError, match="no does not exist.*tools/pretrain_trunk.py"):
        reproduce.main()


def test_a_name_that_make_cannot_handle_is_refused(tmp_path, monkeypatch):
    Steps(tmp_path, monkeypatch)
    sys.argv[sys.argv.index("--data") + 1] = str(tmp_path / "my data")
    with pytest.raises(UserError, match="make cannot handle this name"):
        reproduce.main()
