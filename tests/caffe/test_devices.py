"""Devices: what a user is told when a GPU cannot be used."""

import re
import subprocess
import sys

import caffe
import pytest
from support.commands import run_tool

from checks import machine
from checks.scenes import make_scenes
from objseg.caffe import cuda_driver, devices
from objseg.errors import UserError

# As CUDA_CHECK of Caffe's device_alternate.hpp prints them, with CUDA's numbers and texts.
CHECK = "F20260101 00:00:00.000000 1234 {file}] Check failed: error == cudaSuccess ({text}"


def failed(text, file="common.cpp:152"):
    return ("WARNING: Logging before InitGoogleLogging() is written to STDERR\n"
            f"{CHECK.format(file=file, text=text)}\n*** Check failure stack trace: ***\n")


def has_gpu():
    try:
        return bool(cuda_driver.devices())
    except cuda_driver.DriverError:
        return False


@pytest.fixture
def caffe_that_says(tmp_path, monkeypatch):
    """Put a stand-in for pycaffe first on the path; it ends as Caffe does, with given words."""
    def make(words):
        folder = tmp_path / "stand_in" / "caffe"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(
            "import os, sys\n"
            f"with open({str(tmp_path / 'calls')!r}, 'a') as stream: stream.write('x')\n"
            f"sys.stderr.write({words!r}); sys.stderr.flush()\n"
            "os.abort()\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(folder.parent))
        devices._problem.cache_clear()
        return tmp_path / "calls"
    yield make
    devices._problem.cache_clear()


def test_a_caffe_without_cuda_says_so_for_real():
    """The installed Caffe itself; nothing stands in for it."""
    probe = subprocess.run([sys.executable, "-c", devices.PROBE, "0"], stderr=subprocess.PIPE,
                           stdout=subprocess.DEVNULL, text=True)
    if probe.returncode == 0:
        pytest.skip("this Caffe can use a GPU")
    if "CPU-only" not in probe.stderr:
        pytest.skip("this Caffe is built with CUDA")
    with pytest.raises(UserError, match="^--gpu 0: this Caffe cannot use it: it was built for the "
                                         "CPU only; .*; or use --cpu$"):
        devices.use_device(0)


def test_what_caffe_says_is_passed_on_with_the_gpus_that_are_there(monkeypatch):
    """Our Caffe's own words, with the advice that it adds."""
    monkeypatch.setattr(
        cuda_driver, "devices",
        lambda: [cuda_driver.Device(0, "a card", (7, 5)), cuda_driver.Device(1, "other", (9, 0))],
    )
    words = "101 vs. 0)  invalid device ordinal. `nvidia-smi -L` lists the GPUs"
    message = devices.explain(failed(words))
    assert words in message and message.endswith("GPUs here: 0 a card, 1 other")


def test_an_end_without_words_is_told_too():
    assert "without a word" in devices.explain("")
    assert "ImportError: no caffe" in devices.explain("Traceback …\nImportError: no caffe\n")


def test_a_failing_caffe_is_asked_once_and_does_not_end_this_process(caffe_that_says):
    calls = caffe_that_says(failed("209 vs. 0)  no kernel image is available"))
    for _ in range(2):
        with pytest.raises(UserError, match="--gpu 3: .* no kernel image .*or use --cpu"):
            devices.use_device(3)
    assert calls.read_text() == "x"
    devices.use_device(None)  # the CPU needs no asking
    assert calls.read_text() == "x"


def test_a_negative_number_is_no_gpu(caffe_that_says):
    calls = caffe_that_says("not reached")
    with pytest.raises(UserError, match="--gpu -1: .*numbered from 0"):
        devices.use_device(-1)
    assert not calls.exists()


def test_the_probes_net_runs():
    """On the CPU, with only the device taken out."""
    code = devices.PROBE.replace("caffe.set_device(int(sys.argv[1]))", "") \
        .replace("set_mode_gpu", "set_mode_cpu")
    assert "set_device" not in code
    subprocess.run([sys.executable, "-c", code, "0"], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("text, version", [
    ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
     "GCC version:  gcc version 11.4.0\n", "535.104.05"),
    ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n",
     "580.65.06"),
    ("something else\n", None),
])
def test_the_drivers_version_is_read_from_its_module(tmp_path, monkeypatch, text, version):
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(cuda_driver, "KERNEL_MODULE", tmp_path / "version")
    assert cuda_driver.driver_version() == version
    monkeypatch.setattr(cuda_driver, "KERNEL_MODULE", tmp_path / "none")
    assert cuda_driver.driver_version() is None


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_driver_the_driver_is_what_is_missing():
    with pytest.raises(cuda_driver.DriverError, match="no NVIDIA driver|cuInit"):
        cuda_driver.devices()
    assert re.search("no NVIDIA driver|cuInit", devices.explain("what Caffe says"))


@pytest.mark.skipif(not has_gpu(), reason="there is no GPU")
def test_a_gpu_tells_its_memory():
    devices.use_device(0)
    free, total = cuda_driver.memory()
    assert 0 < free <= total
    cuda_driver.synchronize()
    caffe.set_mode_cpu()


@pytest.mark.parametrize("capability, has", [((7, 5), False), ((8, 0), True), ((12, 0), True)])
def test_tf32_is_there_since_compute_capability_8(monkeypatch, capability, has):
    monkeypatch.setattr(
        cuda_driver, "devices", lambda: [cuda_driver.Device(0, "a card", capability)]
    )
    assert machine.has_tf32(0) is has
    assert machine.has_tf32(1) is machine.has_tf32(None) is False


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_a_refused_gpu_leaves_what_an_earlier_training_made(tmp_path):
    make_scenes(tmp_path / "scenes", train=2, test=1)
    made = tmp_path / "out" / "lowres_vocabulary.txt"
    made.parent.mkdir()
    made.write_text("<unknown>\nwords\nof\nbefore\n")
    before = made.read_text()
    done = run_tool(
        "tools/train.py", "--model", "lowres", "--size", "slim", "--data", tmp_path / "scenes",
        "--out", made.parent, "--weights", "none", "--overwrite", "--gpu", 0, check=False,
    )
    assert done.returncode and "--gpu 0: this Caffe cannot use it" in done.stdout
    assert {path.name for path in made.parent.iterdir()} == {made.name, "lowres.lock"}
    assert made.read_text() == before
