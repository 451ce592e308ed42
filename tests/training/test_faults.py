"""Training under faults: killed, full disk, damaged snapshots, dead workers, lost images, NaN.

The runs are forks of this process, which has Caffe imported; each has one BLAS thread, so that
weights can be compared bit for bit.
"""

import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.training import run_training, start_training

from objseg.batches.ours import OursBatchMaker, OursSettings
from objseg.caffe.command import resumed_batch
from objseg.caffe.weights import read_caffemodel
from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.parallel import prefetch
from objseg.training import loop, solver, validation
from objseg.training.log import TrainingLog
from objseg.training.snapshot import origin
from objseg.training.snapshots import Snapshots

ITERATIONS = 11
"""The most that are snapshotted one by one."""

SETTINGS = ("--model", "lowres", "--size", "slim", "--batch", 4, "--expressions-per-image", 2,
            "--workers", 1, "--validation-images", 0, "--iterations", ITERATIONS)


def start(scenes, out, *words, sabotage=lambda: None):
    """Start a training with SETTINGS and further ``words``; returns its process id."""
    return start_training(out, "--data", scenes, *SETTINGS, *words, sabotage=sabotage)


def train(scenes, out, *words, sabotage=lambda: None):
    """Run such a training to its end; returns its exit status and what it printed."""
    return run_training(out, "--data", scenes, *SETTINGS, *words, sabotage=sabotage)


def rows(out):
    """Iteration, loss, rate and IoU of every line of the log: what does not depend on the clock."""
    keys = ("iteration", "loss", "rate", "val_overall_iou")
    log = TrainingLog(out / "lowres_log.csv", ITERATIONS)
    return [[row[key] for key in keys] for row in log.read()]


def assert_same_end(out, reference, iteration=ITERATIONS):
    """Weights, momentum and log are those of a run that nothing happened to."""
    one, other = (Snapshots(folder, "lowres").newest_whole()[0] for folder in (out, reference))
    assert one.iteration == other.iteration == iteration
    assert sha256(one.weights) == sha256(other.weights)
    assert rows(out) == rows(reference) and len(rows(out)) == iteration


@pytest.fixture(scope="module")
def reference(scenes, tmp_path_factory):
    """A run without faults that keeps all of its snapshots; a folder."""
    out = tmp_path_factory.mktemp("reference") / "out"
    code, printed = train(scenes, out, "--keep", 99)
    assert code == 0, printed
    assert [s.iteration for s in Snapshots(out, "lowres").all()] == list(range(1, 1 + ITERATIONS))
    return out


@pytest.fixture
def started(reference, tmp_path):
    """A copy of the reference run after 6 iterations."""
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    for snapshot in Snapshots(out, "lowres").all()[6:]:
        for ending in (".caffemodel", ".solverstate", ".json"):
            snapshot.file(ending).unlink()
    return out


# ---- killed ----

def kill_in(out, iteration, moment):
    """Make this process kill itself at a file operation in ``out``, or in the midst of a write.

    They are counted from the end of ``iteration``, when its line is added to the log.
    """
    moments = itertools.count()
    copy = shutil.copyfileobj

    def tick():
        log = out / "lowres_log.csv"
        if log.exists() and len(log.read_bytes().splitlines()) > iteration:
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(event, arguments):
        path = str(arguments[0]) if event in ("open", "os.rename", "os.remove") else ""
        if path.startswith(str(out)) and not path.endswith("log.csv"):
            tick()

    def torn(source, target, length=0):
        target.write(source.read(1 << 20))
        target.flush()
        tick()
        copy(source, target)

    sys.addaudithook(audit)
    shutil.copyfileobj = torn


def wait_for(out, iteration, process):
    log, deadline = out / "lowres_log.csv", time.monotonic() + 60
    while not (log.exists() and len(log.read_bytes().splitlines()) > iteration):
        assert os.waitpid(process, os.WNOHANG) == (0, 0) and time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_ten_kills_lose_nothing(scenes, reference, tmp_path):
    """Five at a moment of the clock, five at a file operation of a snapshot or in the midst of one.

    After each kill the newest whole snapshot is the one before the kill, or the one in the making.
    """
    out, random = tmp_path / "out", np.random.RandomState(20160917)
    killed = within = 0
    for iteration in range(1, 11):
        if iteration <= 5:
            process = start(scenes, out, "--resume")
            wait_for(out, iteration, process)
            time.sleep(random.uniform(0, 0.1))
            os.kill(process, signal.SIGKILL)
            assert os.waitpid(process, 0)[1] == signal.SIGKILL
        else:
            moment = random.randint(24)
            code, printed = train(scenes, out, "--resume",
                                  sabotage=lambda i=iteration, m=moment: kill_in(out, i, m))
            assert code == -signal.SIGKILL, printed
        killed += 1
        within += any(out.glob(".lowres_iter_*"))
        newest, _ = Snapshots(out, "lowres").newest_whole()
        assert (newest.iteration if newest else 0) >= iteration - 1
    code, printed = train(scenes, out, "--resume")
    assert code == 0, printed
    print(f"{killed} kills, {within} of them left a snapshot half written, lost: nothing")
    assert within >= 2
    assert_same_end(out, reference)
    assert not list(out.glob(".lowres_iter_*"))
    assert [s.iteration for s in Snapshots(out, "lowres").all()][-3:] == [9, 10, 11]


@pytest.mark.slow
def test_an_interrupted_run_ends_as_if_it_was_not(scenes, reference, tmp_path):
    out = tmp_path / "out"
    for iteration, number in ((2, signal.SIGINT), (6, signal.SIGTERM)):
        process = start(scenes, out, "--resume")
        wait_for(out, iteration, process)
        os.kill(process, number)
        assert os.WEXITSTATUS(os.waitpid(process, 0)[1]) == 128 + number
    assert train(scenes, out, "--resume")[0] == 0
    assert_same_end(out, reference)


@pytest.mark.slow
def test_dropout_is_resumed_as_well(scenes, tmp_path):
    """The per-word model has dropout when its trunk is trained."""
    words = ("--model", "per-word", "--train-convnet", "--batch", 2, "--iterations", 3)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    code, printed = train(scenes, whole, *words)
    assert code == 0, printed
    shutil.copytree(whole, resumed)
    (resumed / "per-word_iter_3.caffemodel").unlink()
    code, printed = train(scenes, resumed, *words, "--resume")
    assert code == 0 and "per-word_iter_2.solverstate" in printed, printed
    assert "drop6" in (whole / "prototxt" / "train_per-word.prototxt").read_text()
    assert sha256(whole / "per-word_iter_3.caffemodel") == sha256(
        resumed / "per-word_iter_3.caffemodel")


# ---- damaged snapshots ----

def truncate(path):
    with open(path, "r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def flip_a_bit(path):
    with open(path, "r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))


DAMAGE = [
    (truncate, ".caffemodel", "bytes, "), (truncate, ".solverstate", "bytes, "),
    (truncate, ".json", "is damaged"), (flip_a_bit, ".caffemodel", "is damaged"),
    (flip_a_bit, ".solverstate", "is damaged"), (flip_a_bit, ".json", "is damaged"),
    (os.unlink, ".caffemodel", "is missing"),
    (os.unlink, ".solverstate", "is missing"),
]


@pytest.mark.parametrize("damage, ending, message", DAMAGE)
def test_a_damaged_snapshot_is_skipped(started, damage, ending, message):
    damage(started / f"lowres_iter_6{ending}")
    newest, skipped = Snapshots(started, "lowres").newest_whole()
    assert newest.iteration == 5
    assert len(skipped) == 1 and "lowres_iter_6" in skipped[0] and message in skipped[0]


def test_a_resumed_run_says_what_it_skips_and_writes_it_again(scenes, reference, started):
    truncate(started / "lowres_iter_6.solverstate")
    flip_a_bit(started / "lowres_iter_5.caffemodel")
    code, printed = train(scenes, started, "--resume", "--keep", 2)
    assert code == 0, printed
    assert printed.count("skipped: ") == 2 and "lowres_iter_4.solverstate" in printed
    assert_same_end(started, reference)
    assert [s.iteration for s in Snapshots(started, "lowres").all()] == [10, 11]


def test_without_a_whole_snapshot_nothing_is_deleted(scenes, started):
    for path in started.glob("lowres_iter_*.caffemodel"):
        truncate(path)
    before = sorted(started.iterdir())
    code, printed = train(scenes, started, "--resume")
    assert code == 1 and "no whole snapshot of lowres is left" in printed
    assert sorted(started.iterdir()) == before


# ---- the disk ----

LIBC = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT = 32


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of ``size`` (str) at ``folder``; yields what gives it another size."""
    def mount(size, flags):
        return LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags,
                          f"size={size}".encode())
    folder.mkdir()
    if mount(size, 0):
        pytest.skip(f"no right to mount a small disk: {os.strerror(ctypes.get_errno())}")
    try:
        yield lambda size: mount(size, MS_REMOUNT)
    finally:
        LIBC.umount(os.fsencode(folder))


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_snapshot(scenes, reference, tmp_path):
    with small_disk(tmp_path / "disk", "30m") as resize:  # a snapshot has 11 MB
        out = tmp_path / "disk" / "out"
        code, printed = train(scenes, out, "--keep", 9)
        assert code == 1 and "Traceback" not in printed
        assert "No space left on device" in printed and "make room" in printed
        assert "the newest snapshot is lowres_iter_2" in printed
        assert not list(out.glob(".lowres_iter_*")) and not list(out.glob("lowres_iter_3*"))
        assert Snapshots(out, "lowres").newest_whole()[0].iteration == 2
        (out / "filler").write_bytes(bytes(shutil.disk_usage(out).free))
        code, printed = train(scenes, out, "--resume")  # no room for a line of the log either
        assert code == 1 and "No space left on device" in printed and "Traceback" not in printed
        (out / "filler").unlink()
        assert resize("99m") == 0
        assert train(scenes, out, "--resume")[0] == 0
        assert_same_end(out, reference)


# ---- data ----

def before_item(number, act):
    """Make this process call ``act(prefetcher)`` before it takes item ``number`` of a stream."""
    take = prefetch.Prefetcher.__next__

    def sabotaged(self):
        if self.next_item == number:
            act(self)
        return take(self)

    prefetch.Prefetcher.__next__ = sabotaged


def test_a_dead_worker_ends_training_with_a_snapshot(scenes, tmp_path):
    out = tmp_path / "out"
    code, printed = train(scenes, out, "--iterations", 29, sabotage=lambda: before_item(
        6, lambda stream: os.kill(stream.workers[0][0].pid, signal.SIGKILL)))
    assert code == 1 and "data worker 0 died (exit code -9)" in printed
    assert "stopped at iteration 6; the newest snapshot is lowres_iter_6" in printed
    assert [s.iteration for s in Snapshots(out, "lowres").all()] == [4, 6]  # 4 by itself
    assert len(rows(out)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("split, words", [("train", ()), ("val", ("--validate", 5))])
def test_pictures_that_vanish_end_training_with_a_snapshot(scenes, tmp_path, split, words):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(scenes, data)
    shutil.copytree(Dataset(scenes).sources[""].images, data / "images")
    index = json.loads((data / "index.json").read_text())
    (data / "index.json").write_text(json.dumps({**index, "image_dir": "images"}))
    words = (*words, "--validation-images", 1)
    aside = tmp_path / "aside"
    aside.mkdir()

    def vanish(stream):
        for image in Dataset(data).images(split):
            shutil.move(image.path, aside)

    code, printed = train(data, out, *words, sabotage=lambda: before_item(4, vanish))
    assert code == 1 and "Traceback" not in printed
    assert re.search(r"error: \S+\.jpg: No such file", printed) and "go on with --resume" in printed
    newest, _ = Snapshots(out, "lowres").newest_whole()
    assert f"the newest snapshot is {newest.name}" in printed
    assert newest.iteration >= (5 if split == "val" else 4)
    for picture in aside.iterdir():
        shutil.move(picture, data / "images")
    assert train(data, out, *words, "--resume")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("when, trouble, left", [
    ("before", "the loss is nan at iteration 5", 4),
    ("after", "a weight of the layer mlp_l1 is not finite at iteration 4", 3),
])
def test_not_a_number_names_the_batch_and_spares_the_snapshot(
    scenes, reference, tmp_path, when, trouble, left
):
    step = loop.Run.step

    def poisoned(self):
        if when == "before" and self.solver.iter == 4:
            self.net.params["mlp_l1"][0].data[0] = np.nan
        loss = step(self)
        if when == "after" and self.solver.iter == 4:
            self.net.params["mlp_l1"][0].data[0] = np.nan
        return loss

    def sabotage():
        loop.Run.step = poisoned

    out = tmp_path / "out"
    code, printed = train(scenes, out, sabotage=sabotage)
    assert code == 1 and trouble in printed
    assert f"the newest snapshot is lowres_iter_{left}" in printed
    groups = OursBatchMaker(OursSettings(
        data=str(scenes), split="train", batch=4, input=256, words=20, vocabulary=1000, label=8,
        label_rule="majority", expressions_per_image=2,
    )).groups
    for position in (2 * left, 2 * left + 1):  # images of the batch
        for index in groups.order.group(position):
            sample = groups.samples[index]
            assert f"image {sample.image.id}, " in printed and sample.expression in printed
    assert train(scenes, out, "--resume")[0] == 0
    assert_same_end(out, reference)


# ---- other runs ----

@pytest.mark.parametrize("words, message", [
    (("--seed", 2), "solver: random_seed was 1, is 2"),
    (("--batch", 2), "batches: batch was 4, is 2"),
    (("--iterations", 12), "solver: max_iter was 11, is 12"),
    (("--foreground", 1), "net: loss was"),
    (("--train-convnet",), "net: conv1_1 was"),
    (("--label-rule", "any"), "batches: label_rule was majority, is any"),
])
def test_a_snapshot_of_other_settings_is_refused(scenes, started, words, message):
    before = {path: path.read_bytes() for path in started.rglob("*") if path.is_file()}
    code, printed = train(scenes, started, "--resume", *words)
    assert code == 1 and message in printed and "taken in another run" in printed
    assert before == {path: path.read_bytes() for path in started.rglob("*") if path.is_file()}


def use_another_word(data):
    """Add a word to the vocabulary of a prepared data set."""
    with open(data / "vocabulary.txt", "a") as stream:
        stream.write("another\n")
    index = json.loads((data / "index.json").read_text())
    index["vocabulary"] = sha256(data / "vocabulary.txt")
    (data / "index.json").write_text(json.dumps(index))


def use_another_expression(data):
    index = json.loads((data / "index.json").read_text())
    next(iter(index["regions"].values()))["expressions"][0] += " there"
    (data / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("change", [use_another_word, use_another_expression])
def test_a_snapshot_of_other_data_is_refused(scenes, started, tmp_path, change):
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    change(data)
    code, printed = train(data, started, "--resume")
    assert code == 1 and "data set: identity was" in printed


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder(scenes, started):
    first = start(scenes, started, "--resume", sabotage=wait_before_training)
    printed, deadline = started.with_name("out.txt"), time.monotonic() + 60
    while "resuming from" not in (printed.read_text() if printed.is_file() else ""):
        assert os.waitpid(first, os.WNOHANG) == (0, 0) and time.monotonic() < deadline
        time.sleep(0.05)
    os.rename(printed, started.with_name("first.txt"))
    code, printed = train(scenes, started, "--overwrite")
    assert code == 1 and "another process is training lowres there" in printed
    assert len(Snapshots(started, "lowres").all()) == 6
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert train(scenes, started, "--resume")[0] == 0  # the lock went with the process


def wait_before_training():
    loop.train = lambda *arguments: time.sleep(300)


def test_refused_runs_overwrite_nothing(scenes, started):
    other = started.with_name("other")
    shutil.copytree(scenes, other)
    use_another_word(other)
    before = contents(started)
    code, printed = train(other, started, "--overwrite", "--seed", 2, "--weights",
                          started / "lowres_iter_2.solverstate")
    assert code == 1, printed
    assert contents(started) == before


def test_a_finished_run_is_left_as_it_is(scenes, reference):
    before = contents(reference)
    began = time.monotonic()
    code, printed = train(scenes, reference, "--resume", sabotage=forbid_nets)
    assert code == 0 and "this run has finished" in printed
    assert f"trained weights: {reference}/lowres_iter_{ITERATIONS}.caffemodel" in printed
    assert time.monotonic() - began < 5
    assert contents(reference) == before


def forbid_nets():
    solver.make_solver = None


@pytest.mark.slow
def test_a_changed_run_starts_afresh_and_keeps_the_earlier_one(scenes, started):
    before = contents(started)
    words = "--resume", "--if-changed", "restart", "--iterations", 2
    code, printed = train(scenes, started, *words)
    assert code == 0 and "max_iter was 11, is 2" in printed, printed
    assert contents(started / "earlier_1") == before
    assert [s.iteration for s in Snapshots(started, "lowres").all()] == [1, 2]
    (started / "lowres_iter_1.json").unlink()
    truncate(started / "lowres_iter_2.caffemodel")
    truncate(started / "lowres_iter_1.solverstate")
    code, printed = train(scenes, started, *words)
    assert code == 0 and "no whole snapshot of lowres is left" in printed, printed
    assert Snapshots(started / "earlier_2", "lowres").newest_whole()[0] is None
    assert contents(started / "earlier_1") == before


@pytest.mark.parametrize("moves", range(6))
def test_a_kill_while_files_are_set_aside_loses_none(tmp_path, monkeypatch, moves):
    names = ("lowres_iter_2.caffemodel", "lowres_iter_2.solverstate", "lowres_iter_2.json",
             "lowres_log.csv", "lowres_vocabulary.txt", "prototxt/deploy_lowres.prototxt")
    (tmp_path / "prototxt").mkdir()
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "highres_iter_2.caffemodel").write_text("of another model")
    rename, left = os.rename, itertools.count(moves, -1)

    def killed(source, target):
        if next(left) == 0:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        Snapshots(tmp_path, "lowres").set_aside()
    monkeypatch.undo()
    assert Snapshots(tmp_path, "lowres").all()  # so that the next start knows of an earlier run
    Snapshots(tmp_path, "lowres").set_aside()
    kept = {path.read_text() for path in tmp_path.glob("earlier_*/**/*") if path.is_file()}
    assert kept == set(names) and not Snapshots(tmp_path, "lowres").all()
    assert (tmp_path / "highres_iter_2.caffemodel").exists()


def test_an_unchanged_run_goes_on_whatever_is_to_happen_otherwise(scenes, reference, started):
    code, printed = train(scenes, started, "--resume", "--if-changed", "restart")
    assert code == 0 and "resuming from" in printed and not (started / "earlier_1").exists()
    assert_same_end(started, reference)


def test_other_starting_weights_are_another_run(scenes, started, tmp_path):
    weights = started / "lowres_iter_2.caffemodel"
    code, printed = train(scenes, started, "--resume", "--weights", weights)
    assert code == 1 and "start: weights was" in printed


def test_a_snapshot_tells_the_vocabulary_that_it_was_trained_with(reference, started):
    weights = started / "lowres_iter_6.caffemodel"
    assert origin(weights)["vocabulary"] == sha256(reference / "lowres_vocabulary.txt")
    flip_a_bit(weights)
    assert origin(weights) == {}  # these are not the weights that are described
    (started / "lowres_iter_5.json").unlink()
    assert origin(started / "lowres_iter_5.caffemodel") == {}
    assert origin(REPOSITORY / "models" / "slim_trunk.caffemodel") == {}


def contents(folder):
    """Return {path in the folder: bytes} of all files but the lock, which has none."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".lock"}


def test_a_manifest_that_was_edited_is_passed_over(scenes, started):
    newest = Snapshots(started, "lowres").all()[-1]
    text = newest.manifest.read_text()
    newest.manifest.write_text(text.replace('"iteration": ', '"iteration": 1'))
    code, printed = train(scenes, started, "--resume")
    assert code == 0 and f"{newest.manifest.name} is damaged (its sha256" in printed


def test_the_best_snapshot_is_kept(scenes, tmp_path):
    ious = iter([0.1, 0.2, 0.5, 0.3, 0.4, 0.1, 0.5, 0.2, 0.5])

    def sabotage():
        validation.Validation.overall_iou = lambda self, stopped: next(ious)

    out = tmp_path / "out"
    code, printed = train(scenes, out, "--validation-images", 1, "--validate", 1, "--keep", 1,
                          "--iterations", 9, sabotage=sabotage)
    assert code == 0, printed
    assert [s.iteration for s in Snapshots(out, "lowres").all()] == [3, 9]
    assert f"best val overall IoU 0.5000: {out}/lowres_iter_3.caffemodel\n" in printed
    manifest = json.loads((out / "lowres_iter_3.json").read_text())
    assert manifest["iteration"] == 3 and manifest["val_overall_iou"] == 0.5


# ---- the caffe command ----

def test_the_caffe_command_resumes_at_the_right_place_in_the_data(scenes, reference, started):
    """From a snapshot of tools/train.py, which leaves the command's alone."""
    solver, state = started / "prototxt" / "solver_lowres.prototxt", "lowres_iter_6.solverstate"
    text = re.sub(r"(?m)^test_.*$", "", solver.read_text()).replace("max_iter: 11", "max_iter: 8")
    solver.write_text(text.replace(str(reference), str(started)))
    done = subprocess.run(
        ["caffe", "train", f"-solver={solver}", "--snapshot", str(started / state)],
        cwd=str(REPOSITORY), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=120, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout
    ours, caffes = (read_caffemodel(folder / "lowres_iter_8.caffemodel")
                    for folder in (reference, started))
    for layer, arrays in ours.items():
        for one, other in zip(arrays, caffes[layer]):
            np.testing.assert_array_equal(one, other)
    before = contents(started)
    code, printed = train(scenes, started, "--resume")
    assert code == 1 and f"-snapshot {started}/lowres_iter_8.solverstate" in printed
    assert contents(started) == before


@pytest.mark.parametrize("words, batch", [
    (["caffe", "train", "-solver", "S", "-snapshot", "x/lowres_iter_20.solverstate"], 60),
    (["./caffe.bin", "train", "-solver", "S", "-snapshot", "a_iter_7.solverstate"], 21),
    (["/usr/bin/caffe", "train", "--snapshot=a_iter_7.solverstate.h5", "--solver=S"], 21),
    (["caffe", "train", "-solver", "S", "-weights", "w_iter_5.caffemodel"], 0),
    (["/e/bin/python3", "/e/bin/caffe", "train", "-solver", "S", "-snapshot",
      "a_iter_7.solverstate"], 21),
    (["python", "tools/train.py", "-snapshot", "x_iter_5.solverstate"], 0),
])
def test_the_batch_is_read_from_the_command_line(tmp_path, words, batch):
    solver = tmp_path / "solver.prototxt"
    solver.write_text("iter_size: 3\n")
    assert resumed_batch([re.sub(r"S$", str(solver), word) for word in words]) == batch


def test_a_caffe_command_of_another_name_is_warned_of(caplog):
    words = ["/opt/my_caffe", "train", "-solver", "S", "-snapshot", "a_iter_7.solverstate"]
    assert resumed_batch(words) == 0
    assert "/opt/my_caffe: not known as the caffe command" in caplog.text
    caplog.clear()
    assert resumed_batch(["/opt/my_caffe", "train", "-solver", "S"]) == 0 and not caplog.text


def test_a_renamed_snapshot_is_refused():
    with pytest.raises(UserError, match="must end in _iter_N.solverstate"):
        resumed_batch(["caffe", "train", "-solver", "S", "-snapshot", "best.solverstate"])
