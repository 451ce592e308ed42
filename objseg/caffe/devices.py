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
        raise UserError(f"--gpu {gpu}: this Caffe cannot use it: {problem}; or use --cpu")
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
    """Say why Caffe ended, from the text that it wrote.

    Our build of Caffe adds to CUDA's error what to do about it (patch 14-error-advice).
    """
    said = last_words(stderr)
    if "CPU-only Caffe" in said:
        return (
            "it was built for the CPU only; use a Caffe built with CUDA (the Dockerfile's target "
            "cuda)"
        )
    return f"{said}; {_there()}"


def _there():
    try:
        found = cuda_driver.devices()
    except cuda_driver.DriverError as error:
        return str(error)
    names = ", ".join(f"{d.number} {d.name}" for d in found)
    return f"GPUs here: {names or 'none'}"
