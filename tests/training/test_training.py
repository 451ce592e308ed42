"""Training with the caffe command and with tools/train.py, on a few scenes for a few iterations."""

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from support.commands import run_tool

from models.ours import starting_net
from models.sizes import SLIM
from objseg.caffe.starting_weights import (
    fully_convolutional,
    save_starting_weights,
    set_forget_bias,
)
from objseg.caffe.weights import WeightsError, check_fits, read_caffemodel
from objseg.data.expressions import Vocabulary
from objseg.files import REPOSITORY
from objseg.training.log import COLUMNS, TrainingLog

TRAIN = ("tools/train.py", "--size", "slim", "--batch", 4, "--expressions-per-image", 2,
         "--workers", 1, "--validation-images", 1)


def caffe_train(solver):
    done = subprocess.run(["caffe", "train", "-solver", str(solver)], cwd=str(REPOSITORY),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          text=True, env={**os.environ, "GLOG_minloglevel": "0"})
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_caffe_command_trains_both_stages(slim_nets):
    """As the README says: two commands, stage 2 from stage 1's weights by layer name."""
    assert "Optimization Done" in caffe_train(slim_nets / "solver_lowres.prototxt")
    snapshots = slim_nets.parent / "snapshots"
    path = snapshots / "lowres_iter_2.caffemodel"
    lowres = read_caffemodel(path)
    net = caffe.Net(str(slim_nets / "deploy_lowres.prototxt"), str(path), caffe.TEST)
    net.params["mlp_l1"][0].data[...] = 7  # which no filler draws
    net.save(str(path))
    assert "Optimization Done" in caffe_train(slim_nets / "solver_highres.prototxt")
    highres = read_caffemodel(snapshots / "highres_iter_2.caffemodel")
    assert set(highres) - set(lowres) == {"upsample32s"}
    np.testing.assert_array_equal(highres["conv1_1"][0], lowres["conv1_1"][0])  # frozen
    np.testing.assert_allclose(highres["mlp_l1"][0], 7, atol=0.1)


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """Both stages by tools/train.py; the folder."""
    out = tmp_path_factory.mktemp("trained")
    for stage in ("lowres", "highres"):
        run_tool(*TRAIN, "--model", stage, "--data", scenes, "--out", out, "--iterations", 4)
    return out


def test_train_leaves_weights_log_and_curve(trained):
    for stage in ("lowres", "highres"):
        assert (trained / f"{stage}_iter_4.caffemodel").stat().st_size > 1e6
        assert (trained / f"{stage}_iter_4.solverstate").exists()
        assert (trained / f"{stage}_log.png").read_bytes().startswith(b"\x89PNG")
        with open(trained / f"{stage}_log.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["iteration"]) for row in rows] == [1, 2, 3, 4]
        assert 0 <= float(rows[-1]["val_overall_iou"]) <= 1
        assert all(0 < float(row["loss"]) < 100 for row in rows)


def test_the_schedule_shrinks_with_the_iterations(trained):
    with open(trained / "lowres_log.csv", newline="") as stream:
        rates = [float(row["rate"]) for row in csv.DictReader(stream)]
    assert rates[-1] < rates[0]


@pytest.mark.slow
@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_resumed_run_sees_the_same_data_and_ends_the_same(scenes, tmp_path, iter_size):
    """Resumed in another folder, as after a move; bit for bit, with one BLAS thread."""
    settings = (*TRAIN, "--model", "lowres", "--data", scenes, "--iter-size", iter_size,
                "--iterations", 6, "--keep", 6)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    one_thread = dict(env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    run_tool(*settings, "--out", whole, **one_thread)
    shutil.copytree(whole, resumed)
    for iteration in (4, 5, 6):
        for path in resumed.glob(f"lowres_iter_{iteration}.*"):
            path.unlink()
    shutil.move(str(whole / "lowres_iter_3.caffemodel"), str(whole / "elsewhere"))
    done = run_tool(*settings, "--out", resumed, "--resume", **one_thread)
    assert "resuming from" in done.stdout and "lowres_iter_3" in done.stdout
    losses = [[row["loss"] for row in TrainingLog(folder / "lowres_log.csv", 6).read()]
              for folder in (whole, resumed)]
    assert len(losses[0]) == 6 and losses[0] == losses[1]
    expected, found = (read_caffemodel(folder / "lowres_iter_6.caffemodel")
                       for folder in (whole, resumed))
    for layer, arrays in expected.items():
        for one, other in zip(arrays, found[layer]):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_runs_do_not_mix(scenes, tmp_path):
    settings = (*TRAIN, "--model", "lowres", "--data", scenes, "--out", tmp_path,
                "--iterations", 1)
    assert "starting afresh" in run_tool(*settings, "--resume").stdout
    again = run_tool(*settings, check=False)
    assert again.returncode == 1 and "--overwrite" in again.stdout
    (tmp_path / "lowres_iter_99.caffemodel").touch()
    run_tool(*settings, "--overwrite")
    assert not (tmp_path / "lowres_iter_99.caffemodel").exists()
    (tmp_path / "lowres_iter_1.solverstate").write_bytes(b"\xff torn")
    torn = run_tool(*settings, "--resume", check=False)
    assert torn.returncode == 1 and "no whole snapshot" in torn.stdout


@pytest.mark.parametrize("model", ["lowres", "highres"])
def test_the_vocabulary_stays_with_the_weights(scenes, trained, model):
    """Stage 2 goes on only with the words that it and stage 1 were trained with."""
    words, kept = (scenes / "vocabulary.txt").read_text(), trained / f"{model}_vocabulary.txt"
    assert kept.read_text() == words
    kept.write_text(words + "another\n")
    done = run_tool(*TRAIN, "--model", "highres", "--data", scenes, "--out", trained,
                    "--iterations", 4, "--resume", check=False)
    kept.write_text(words)
    assert done.returncode == 1 and "another vocabulary" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_snapshot(scenes, tmp_path, number):
    """The signal reaches the whole process group, as from Ctrl-C, timeout or a batch system."""
    command = [sys.executable, *map(str, TRAIN), "--model", "lowres", "--data", str(scenes),
               "--out", str(tmp_path), "--iterations", "9999", "--iter-size", "3"]
    errors, log = tmp_path / "errors.txt", tmp_path / "lowres_log.csv"
    with open(errors, "w") as stream:
        process = subprocess.Popen(command, cwd=str(REPOSITORY), stderr=stream,
                                   start_new_session=True)
    deadline = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)
    assert process.wait(timeout=60) == 128 + number, errors.read_text()
    stopped = int(re.search(r"stopped at iteration (\d+)", errors.read_text()).group(1))
    assert (tmp_path / f"lowres_iter_{stopped}.solverstate").exists()
    assert len(log.read_text().splitlines()) == 1 + stopped


@pytest.mark.parametrize("words, message", [
    (("--iterations", 0), "--iterations: 0: expected an integer of at least 1"),
    (("--batch", 3), "does not divide"),
    (("--vocabulary-size", 5), "larger than the net's embedding"),
    (("--data", "no/such/data"), "prepare_referit.py"),
    (("--weights", "no/such/file"), "no such file"),
    (("--validation-images", -1), "expected an integer of at least 0"),
    (("--keep", 0), "--keep: 0: expected an integer of at least 1"),
    (("--gpu", -1), "expected an integer of at least 0"),
    (("--seed", -1), "--seed: -1: expected an integer of at least 0"),
    (("--batch", 100000), "hold more than 2,147,483,647 numbers, the most that Caffe can count; "
     "give a smaller --batch"),
    (("--vocabulary-size", 2000000000), "give a smaller --vocabulary-size"),
    (("--if-changed", "restart"), "--if-changed restart means something with --resume only"),
    (("--foreground", "nan"), "--foreground: nan: expected a finite weight"),
    (("--vocabulary-size", 0), "--vocabulary-size: 0: expected"),
])
def test_settings_out_of_range_fail_before_the_first_iteration(scenes, tmp_path, words, message):
    done = run_tool(*TRAIN, "--model", "lowres", "--data", scenes, "--out", tmp_path, *words,
                    check=False)
    assert done.returncode != 0 and message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "lowres_log.csv").exists()


def test_a_gpu_that_cannot_be_used_is_an_error_not_a_crash(scenes, tmp_path):
    probe = subprocess.run(["caffe", "device_query", "-gpu", "0"], stderr=subprocess.DEVNULL)
    if probe.returncode == 0:
        pytest.skip("there is a GPU")
    done = run_tool(*TRAIN, "--model", "lowres", "--data", scenes, "--out", tmp_path,
                    "--gpu", 0, check=False)
    assert done.returncode == 1 and "--gpu 0: this Caffe cannot use it" in done.stdout


def test_paths_are_relative_to_the_working_directory(scenes, tmp_path):
    program, *switches = TRAIN
    done = run_tool(REPOSITORY / program, *switches, "--model", "lowres", "--iterations", 1,
                    "--data", os.path.relpath(scenes, tmp_path), "--out", "mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "lowres_iter_1.caffemodel").exists(), done.stdout


def test_highres_without_lowres_says_what_to_train(scenes, tmp_path):
    done = run_tool(*TRAIN, "--model", "highres", "--data", scenes, "--out", tmp_path, check=False)
    assert done.returncode == 1 and "train --model lowres first" in done.stdout


def test_weights_of_another_size_are_refused(scenes, tmp_path, trained):
    done = run_tool(*TRAIN, "--model", "lowres", "--data", scenes, "--out", tmp_path,
                    "--vocabulary-size", 500, "--weights", trained / "lowres_iter_4.caffemodel",
                    check=False)
    assert done.returncode == 1
    assert "layer embedding" in done.stdout and "(500, 64)" in done.stdout


def test_weights_of_a_foreign_net_are_refused(scenes, tmp_path):
    path = tmp_path / "foreign.caffemodel"
    net = caffe_pb2.NetParameter()
    net.layer.add(name="resnet").blobs.add(shape={"dim": [1]}, data=[1])
    path.write_bytes(net.SerializeToString())
    done = run_tool(*TRAIN, "--model", "lowres", "--data", scenes, "--out", tmp_path,
                    "--weights", path, check=False)
    assert done.returncode == 1 and "no weights for the layers conv1_1" in done.stdout


def test_stage_two_refuses_weights_of_another_vocabulary(scenes, trained, tmp_path):
    start = shutil.copy(trained / "lowres_iter_4.caffemodel", tmp_path)
    beside, out = tmp_path / "lowres_vocabulary.txt", tmp_path / "out"
    Vocabulary.build(["some other words"], 1).save(beside)
    done = run_tool(*TRAIN, "--model", "highres", "--data", scenes, "--out", out,
                    "--weights", start, check=False)
    assert done.returncode == 1
    assert f"{beside}: the weights here were trained with another vocabulary" in done.stdout
    assert not (out / "highres_vocabulary.txt").exists()


@pytest.mark.slow
def test_the_commands_that_training_ends_with_work_as_printed(scenes, trained, tmp_path):
    finished = ("--data", scenes, "--out", trained, "--iterations", 4, "--resume")
    after_lowres, after_highres = (
        re.findall(r"(?m)^next: python (.*)$", run_tool(*TRAIN, "--model", m, *finished).stdout)
        for m in ("lowres", "highres")
    )
    (highres,) = map(shlex.split, after_lowres)
    done = run_tool(*highres, "--iterations", 4, "--resume")  # it names the run that there is
    assert "this run has finished" in done.stdout
    evaluation, segmentation = map(shlex.split, after_highres)
    run_tool(*evaluation, "--out", tmp_path / "evaluation")
    assert (tmp_path / "evaluation" / "report.html").exists()
    run_tool(*segmentation, "--out", tmp_path / "segmentation")
    assert len(list((tmp_path / "segmentation").glob("*_mask.png"))) == 1


def test_quotes_and_line_ends_in_paths_are_only_characters(scenes, trained, tmp_path):
    out = tmp_path / 'a "quoted"\nname\\'
    out.mkdir()
    start = shutil.copy(trained / "lowres_iter_4.caffemodel", out)
    settings = (*TRAIN, "--data", scenes, "--model", "lowres", "--weights", start, "--out", out)
    run_tool(*settings, "--iterations", 1, "--overwrite")
    assert not Path(start).exists() and (out / "lowres_iter_1.caffemodel").exists()


def test_a_folder_that_is_not_utf8_is_refused_before_it_is_changed(scenes, tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/\xfc")
    done = run_tool(*TRAIN, "--data", scenes, "--model", "lowres", "--out", out, check=False,
                    errors="surrogateescape")
    assert done.returncode == 1 and "a path that is not UTF-8" in done.stdout
    assert not os.path.exists(out)


def test_a_log_drops_what_the_resumed_run_will_write_again(tmp_path):
    log = TrainingLog(tmp_path / "log.csv")
    for iteration in range(1, 6):
        log.add(**{**dict.fromkeys(COLUMNS, ""), "iteration": iteration, "loss": 1.0})
    with open(log.path, "a") as stream:
        stream.write("6,0.")  # torn by a crash
    rows = TrainingLog(log.path, start=3).read()
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]


def test_a_curve_that_cannot_be_drawn_hides_no_error(tmp_path, caplog):
    log = TrainingLog(tmp_path / "log.csv")
    log.add(**{**dict.fromkeys(COLUMNS, ""), "iteration": 1, "loss": "garbled"})
    log.conclude()
    assert "the curve of" in caplog.text and "could not convert string" in caplog.text


# ---- starting weights ----

@pytest.fixture
def start(tmp_path):
    path = tmp_path / "start.prototxt"
    path.write_text(str(starting_net(SLIM)))
    return caffe.Net(str(path), caffe.TEST)


def test_a_classifier_becomes_the_convolution_of_the_same_numbers(start, tmp_path):
    """fc6 over a 7x7 map equals the middle of the padded convolution over that map."""
    random = np.random.RandomState(0)
    shapes = {name: [tuple(b.shape) for b in blobs] for name, blobs in start.params.items()}
    vgg = {name: [random.randn(*shape).astype(np.float32) * 0.1 for shape in shapes[name]]
           for name in shapes if name != "lstm"}
    for name in ("fc6", "fc7", "fc8"):  # as in the published file: (out, in * height * width)
        vgg[name][0] = vgg[name][0].reshape(len(vgg[name][0]), -1)
    save_starting_weights(start, fully_convolutional(vgg, start), tmp_path / "start.caffemodel")
    saved = read_caffemodel(tmp_path / "start.caffemodel")
    assert {n: [a.shape for a in arrays] for n, arrays in saved.items()} == shapes

    window = random.randn(64, 7, 7).astype(np.float32)
    start.blobs["pool5"].reshape(1, 64, 7, 7)
    start.blobs["pool5"].data[0] = window
    start._forward(list(start._layer_names).index("fc6"), list(start._layer_names).index("fc6"))
    np.testing.assert_allclose(
        start.blobs["fc6"].data[0, :, 3, 3], vgg["fc6"][0] @ window.ravel() + vgg["fc6"][1],
        rtol=1e-3, atol=1e-3,
    )


def test_another_architecture_is_refused(start):
    wrong = {name: [np.zeros(3), np.zeros(3)] for name in start.params}
    with pytest.raises(WeightsError, match="conv1_1 has blobs of shape"):
        fully_convolutional(wrong, start)


def test_the_forget_bias_opens_the_forget_gate(slim_nets):
    """Set in Caffe's LSTM, it lets the state through while all the other weights are zero."""
    net = caffe.Net(str(slim_nets / "deploy_lowres.prototxt"), caffe.TEST)
    for blob in net.params["lstm"]:
        blob.data[...] = 0
    set_forget_bias(net.params["lstm"][1].data, 50.0)
    bias = net.params["lstm"][1].data
    size = bias.shape[0] // 4
    # The first word writes the cell through i = 1/2 and tanh(g), g driven by its vector.
    net.params["lstm"][0].data[3 * size:, 0] = 1
    net.params["embedding"][0].data[...] = 0
    net.params["embedding"][0].data[7, 0] = 1
    net.blobs["tokens"].data[...] = 0
    net.blobs["tokens"].data[-3] = 7
    net.blobs["continuation"].data[...] = 0
    net.blobs["continuation"].data[-2:] = 1
    net.forward(start="embedding", end="earlier_states")
    # Two steps later nothing is forgotten: h = tanh(c) / 2 with c = tanh(1) / 2.
    np.testing.assert_allclose(
        net.blobs["last_state"].data[0, 0], np.tanh(np.tanh(1) / 2) / 2, rtol=1e-5
    )


def test_the_committed_trunk_fits_and_carries_the_forget_bias(slim_nets):
    path = REPOSITORY / "models" / "slim_trunk.caffemodel"
    net = caffe.Net(str(slim_nets / "deploy_lowres.prototxt"), caffe.TEST)
    assert check_fits(net, path) == ["embedding", "mlp_l1", "mlp_l2"]
    bias = read_caffemodel(path)["lstm"][1].reshape(4, -1)
    assert (bias[1] == 1).all() and not bias[[0, 2, 3]].any()
    assert path.stat().st_size <= 4e6
