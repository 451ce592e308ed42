"""Choosing the device that Caffe computes on, with an answer a user can act on where it fails.

Caffe ends the process when a GPU fails it, so another process tries it first.
"""

import functools
import platform
import re
import subprocess
import sys
from pathlib import Path

from objseg.caffe import cuda_driver
from objseg.errors import UserError

PROBE = """
import sys, tempfile
import caffe
caffe.set_device(int(sys.argv[1]))
caffe.set_mode_gpu()
with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as net:
    net.write('''
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 1, 4, 4] } } }
        layer { name: "y" type: "Convolution" bottom: "x" top: "y"
                convolution_param { num_output: 1 kernel_size: 3 pad: 1 } }
        layer { name: "z" type: "Pooling" bottom: "y" top: "z" pooling_param { kernel_size: 2 } }
    ''')
    net.flush()
    caffe.Net(net.name, caffe.TEST).forward()
"""
"""Runs a library's kernel, cuDNN's convolution, and one of Caffe's own, which only exists for the
architectures that Caffe was built for."""

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""The first driver branch that serves a CUDA major version (NVIDIA's compatibility table)."""


def use_device(gpu: int | None = None) -> None:
    """Compute on GPU number ``gpu``, or on the CPU if it is None.

    Raises UserError when the GPU cannot be used; it says what is there, and what to do.
    """
    import caffe

    if gpu is None:
        caffe.set_mode_cpu()
        return
    problem = _problem(gpu)
    if problem:
        raise UserError(f"--gpu {gpu}: this Caffe cannot use it: {problem}")
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


def device_name(gpu: int | None = None) -> str:
    """Return the name of GPU number ``gpu``, or of the processor if it is None."""
    if gpu is not None:
        return cuda_driver.devices()[gpu].name
    found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


@functools.cache
def _problem(gpu):
    """Return why GPU ``gpu`` cannot be used, or None; cached, since it takes seconds."""
    if gpu < 0:
        return f"GPUs are numbered from 0; {_there()}"
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, str(gpu)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )
    return explain(probe.stderr) if probe.returncode else None


def last_words(stderr: str) -> str:
    """Return the line in which a process that ended said why."""
    # glog's fatal line: "F20261124 07:37:59.908910 31974 common.cpp:66] message"
    fatal = re.search(r"^F\d{4,8} .*?\] (.*)", stderr, re.MULTILINE)
    lines = stderr.strip().splitlines()
    return fatal.group(1) if fatal else lines[-1] if lines else "it ended without a word"


def explain(stderr: str) -> str:
    """Turn the text that Caffe wrote before it ended into a cause and a remedy."""
    said = last_words(stderr)
    for pattern, answer in CAUSES:
        if re.search(pattern, said):
            return f"{answer()} (Caffe: {said})"
    return f"{said}; {_there()}; use another GPU, or --cpu"


def _there():
    try:
        found = cuda_driver.devices()
    except cuda_driver.DriverError as error:
        return str(error)
    names = ", ".join(f"{d.number} {d.name}" for d in found)
    return f"{len(found)} GPU{'' if len(found) == 1 else 's'} here{': ' + names if names else ''}"


def _no_cuda():
    return (
        "it was built for the CPU only; use --cpu, or a Caffe built with CUDA (the Dockerfile's "
        "target cuda)"
    )


def _old_driver():
    try:
        major, minor = cuda_driver.cuda_version()
        version = cuda_driver.driver_version() or "of unknown version"
        there = f"the NVIDIA driver {version} serves CUDA up to {major}.{minor}, too old"
    except cuda_driver.DriverError:
        there = "no NVIDIA driver is visible"
    needed = "; ".join(f"CUDA {major}: {branch}" for major, branch in OLDEST_DRIVER.items())
    return (
        f"{there} for the CUDA of this build (the oldest driver that serves it: {needed}); update "
        "the driver (in a container: the host's, and start it with --gpus all), or use a Caffe "
        "built with an older CUDA, or --cpu"
    )


def _no_gpu():
    return (
        "no GPU is visible; see what nvidia-smi lists, whether CUDA_VISIBLE_DEVICES hides it, and "
        "in a container start it with --gpus all; or use --cpu"
    )


def _no_such_number():
    return f"there is no GPU of that number; {_there()}; numbers start at 0"


def _other_architecture():
    try:
        capabilities = ", ".join(
            f"{d.number} {d.name} needs sm_{d.capability[0]}{d.capability[1]}"
            for d in cuda_driver.devices()
        )
    except cuda_driver.DriverError as error:
        capabilities = str(error)
    return (
        f"it was built for other GPU architectures ({capabilities}); build it again with "
        "engine/make_wheel.py --architectures (CUDA 13 knows sm_75 and newer), use another GPU, or "
        "--cpu"
    )


def _out_of_memory():
    return (
        "its memory is full, even for a net of a few bytes; see in nvidia-smi which program holds "
        "it, or use another GPU"
    )


CAUSES = (
    (r"CPU-only Caffe", _no_cuda),
    (r"driver version is insufficient|\(35 vs\. 0\)", _old_driver),
    (r"no CUDA-capable device|\((38|100) vs\. 0\)", _no_gpu),
    (r"invalid device ordinal|\((10|101) vs\. 0\)", _no_such_number),
    (r"no kernel image|ARCH_MISMATCH|\((48|209) vs\. 0\)", _other_architecture),
    (r"out of memory|\(2 vs\. 0\)|ALLOC(ATION)?_FAILED", _out_of_memory),
)
"""Causes of Caffe's errors, by CUDA's error texts and its numbers before and since CUDA 10.1."""


SPARE = 2**29
"""Bytes of GPU memory to leave for what :mod:`objseg.training.cost` does not count: the kernels
that CUDA loads when they are first used, cuBLAS's workspace, an LSTM's steps."""


def check_room(
    memory, batch: int, iter_size: int, together: int = 1, free: int | None = None
) -> str | None:
    """Refuse a training that does not fit the GPU in use, before it has begun.

    ``memory`` is a :class:`objseg.training.cost.Memory`; a step has ``iter_size`` batches of
    ``batch`` expressions, ``together`` of which share an image. ``free`` are bytes, by default the
    driver's count: call it when every net is made, since then cuDNN's workspaces are taken. Raises
    UserError naming a batch that fits. Returns a warning where less than ``SPARE`` would be left,
    else None.
    """
    free = cuda_driver.memory()[0] if free is None else free
    room, needed = free - SPARE, memory.total(batch)
    if needed <= room:
        return None
    gib = 2.0**30
    figures = (
        f"a batch of {batch} needs about {needed / gib:.1f} GiB of GPU memory, and "
        f"{free / gib:.1f} GiB are free beside cuDNN's workspaces"
    )
    workspaces = "a smaller CAFFE_CUDNN_WORKSPACE_MB takes less"
    if needed <= free:
        return f"{figures}: it may not fit; {workspaces}, as do a smaller --batch and a larger " \
               "--iter-size"
    largest = int((room - memory.fixed) / memory.item) // together * together
    if largest < together:
        raise UserError(
            f"{figures}: not even a batch of {together} is sure to fit; {workspaces}; or end the "
            "programs that hold this GPU's memory (nvidia-smi), use one with more, or use --cpu"
        )
    step = batch * iter_size
    smaller = next(b for b in range(largest, 0, -together) if step % b == 0 or b == together)
    raise UserError(
        f"{figures}; the largest batch that fits is {largest}. The same step of {step} "
        f"expressions: --batch {smaller} --iter-size {step // smaller}"
    )
