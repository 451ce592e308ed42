"""The steps of a reproduction: which they are, and that a second run keeps what the first made."""

import json
import os
import shlex
import subprocess
import sys
import time

import pytest
from support.commands import load_tool, run_tool

from models.registry import MODELS
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.table1 import METHODS

reproduce = load_tool("reproduce")


def plan(monkeypatch, *words):
    """Return the Plan for the slim size with the arguments ``words``."""
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "--size", "slim", *map(str, words)])
    return reproduce.Plan(reproduce.parse())


def steps_of(made):
    return [*made.data(), *made.training(), *made.report()]


def test_every_command_is_one_that_its_tool_understands(monkeypatch, tmp_path):
    made = plan(monkeypatch, "--out", tmp_path, "--published", tmp_path, "--", "--batch", 24)
    for step in steps_of(made):
        tool, *words = step.command
        monkeypatch.setattr(sys, "argv", [tool, *words])
        module = load_tool(tool.removeprefix("tools/").removesuffix(".py"))
        if hasattr(module, "parse"):  # ends the test where it does not
            module.parse()


def test_all_of_table_1_trains_every_model_on_what_it_needs(monkeypatch, tmp_path):
    after = {step.name: step.after for step in steps_of(plan(monkeypatch, "--out", tmp_path))}
    assert [name for name in after if name.startswith("train")] == [f"train {m}" for m in MODELS]
    for model in ("scrc", "grounder"):
        assert "compute features" in after[f"train {model}"]
    assert "propose segments" in after["train mcg"] and "train lowres" in after["train highres"]
    assert "compute features" not in after["train lowres"]


def test_the_demo_trains_the_two_stages_alone(monkeypatch, tmp_path):
    made = plan(monkeypatch, "--out", tmp_path, "--no-timing", "--method", "highres",
                "--method", "whole-image")
    assert [step.name for step in steps_of(made)] == [
        "draw the scenes", "prepare the data", "train lowres", "train highres",
        "score the methods",
    ]


def test_a_model_that_cannot_be_trained_leaves_the_others_report(monkeypatch, tmp_path):
    made = plan(monkeypatch, "--out", tmp_path)
    failed = ["train scrc", "train lowres", "train highres"]
    words = {step.name: step.command for step in made.report(failed)}
    scored = {name for name, method in METHODS.items() if f"train {method.model}" not in failed}
    assert {f"--method={name}" for name in scored} == {
        word for word in words["score the methods"] if word.startswith("--method")}
    assert "--method=scrc-grabcut" not in words["time the methods"]
    assert "--method=grounder-grabcut" in words["time the methods"]


def test_the_cores_are_shared_by_steps_that_run_at_the_same_time(monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce, "available_cores", lambda: 8)
    threads = {jobs: {step.name: step.threads for step in steps_of(
        plan(monkeypatch, "--out", tmp_path, "--jobs", jobs))} for jobs in (1, 2)}
    assert (threads[1]["train lowres"], threads[2]["train lowres"]) == (8, 4)
    for of_jobs in threads.values():
        assert of_jobs["time the methods"] == 8 and of_jobs["score the methods"] == 1


def test_proposals_of_other_settings_are_replaced_only_if_they_began_here(monkeypatch, tmp_path):
    made = plan(monkeypatch, "--out", tmp_path)
    commands = [step.command for step in made.data() if step.name == "propose boxes"]
    assert "--overwrite" not in commands[0]
    made.begun("boxes").parent.mkdir()
    made.begun("boxes").touch()
    words = {step.name: step.command for step in made.data()}
    assert "--overwrite" in words["propose boxes"]
    assert "--overwrite" not in words["propose segments"]


def test_data_prepared_elsewhere_need_no_raw_data(monkeypatch, tmp_path):
    (tmp_path / "index.json").touch()
    words = ("--data", tmp_path, "--raw", tmp_path / "no", "--out", tmp_path)
    assert "prepare the data" not in [step.name for step in plan(monkeypatch, *words).data()]
    (tmp_path / "index.json").unlink()
    assert "prepare the data" in [step.name for step in plan(monkeypatch, *words).data()]


def test_a_wrong_switch_of_training_ends_at_once(tmp_path):
    done = run_tool("tools/reproduce.py", "--out", tmp_path / "out", "--", "--iteration", "x",
                    check=False)
    assert done.returncode == 2 and "expected an integer" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_missing_trunk_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch):
    plan(monkeypatch, "--out", tmp_path)
    monkeypatch.setattr(reproduce, "REPOSITORY", tmp_path)
    with pytest.raises(UserError, match="slim_trunk.caffemodel does not exist.*pretrain_trunk.py"):
        reproduce.main()


def test_afresh_moves_what_was_there(tmp_path):
    out = tmp_path / "demo"
    for expected in ("demo.1", "demo.2"):
        out.mkdir()
        (out / expected).touch()
        reproduce.set_aside(out)
        assert (tmp_path / expected / expected).exists() and not out.exists()
    reproduce.set_aside(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.1", "demo.2"]


class Small:
    """A reproduction of the two stages in a few iterations, in folders with awkward names."""

    def __init__(self, folder):
        self.raw, self.data = folder / "raw='1' $#%", folder / "da ta:\\"
        self.out = folder / 'out="2"\n'
        run_tool("tools/make_demo_data.py", "--out", self.raw, "--train", 6, "--val", 1,
                 "--test", 2)
        self.command = [
            "tools/reproduce.py", "--size", "slim", "--raw", self.raw, "--data", self.data,
            "--out", self.out, "--no-timing", "--jobs", 2, "--method", "highres", "--",
            "--iterations", 2, "--batch", 4, "--workers", 1,
        ]

    def run(self, *words, **settings):
        return run_tool(*self.command, *words, **settings)

    def weights(self):
        """{name: (time, content)} of the weights."""
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes())
                for path in sorted((self.out / "weights").glob("*.caffemodel"))}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    made = Small(tmp_path_factory.mktemp("small"))
    made.first = made.run().stdout
    return made


@pytest.mark.slow
def test_the_command_that_it_ends_with_works_when_pasted(small, tmp_path):
    assert (small.out / "report.html").is_file()
    command = small.first.rpartition("now try: python ")[2].rstrip("\n")
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} {command} --out {tmp_path}"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not in the vocabulary" not in done.stderr and list(tmp_path.glob("*_mask.png"))


@pytest.mark.slow
def test_files_dated_in_the_future_cost_nothing(small):
    """Times of other clocks, in an archive or on a file server, must not cost a training."""
    before = small.weights()
    assert before
    for path in (*small.raw.rglob("*"), small.data / "index.json"):
        os.utime(path, (2e9, 2e9))
    printed = small.run().stdout
    assert small.weights() == before
    assert printed.count("this run has finished") == 2


@pytest.mark.slow
def test_other_inputs_train_again_beside_what_was_there(small):
    before = {content for _, content in small.weights().values()}
    small.run("--seed", 2)
    moved = {path.read_bytes()
             for path in (small.out / "weights").glob("earlier_*/*.caffemodel")}
    assert before <= moved
    assert not before & {content for _, content in small.weights().values()}


@pytest.mark.slow
def test_a_terminated_reproduction_stops_its_training_and_goes_on(small):
    log = small.out / "weights" / "lowres_log.csv"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, *map(str, small.command), "--iterations", "20"], cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    while not log.exists() or log.read_text().count("\n") < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 143
    stopped = max(int(path.stem.split("_")[-1])
                  for path in (small.out / "weights").glob("lowres_iter_*.solverstate"))
    assert 3 <= stopped < 20
    done = small.run("--iterations", 20)
    assert f"lowres_iter_{stopped}.solverstate" in done.stdout
    assert (small.out / "report.html").exists()


@pytest.mark.slow
def test_a_tenth_of_the_demo_scores_between_the_whole_image_and_the_demo(tmp_path):
    """README: 62.4 % overall IoU after the demo's 600 scenes and 150 iterations of stage 1."""
    run_tool("tools/make_demo_data.py", "--out", tmp_path / "raw", "--train", 60, "--val", 1,
             "--test", 12)
    run_tool("tools/reproduce.py", "--size", "slim", "--raw", tmp_path / "raw", "--data",
             tmp_path / "data", "--out", tmp_path / "out", "--no-timing", "--jobs", 1,
             "--method", "whole-image", "--method", "lowres", "--", "--iterations", 40,
             "--batch", 8, timeout=900)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    whole, ours = (row["metrics"]["overall_iou"] for row in results["methods"])
    assert whole + 0.05 < ours < 0.624
