"""Describe the machine: processor, GPU, driver, libraries, settings, and what else runs on it."""

import ctypes
import os
import platform
import re
from pathlib import Path

import caffe
import cv2
import numpy as np
import psutil

from checks.options import Options
from objseg.caffe import cuda_driver
from objseg.caffe.blas import cpu_kernels, describe_blas
from objseg.caffe.devices import device_name, use_device
from objseg.parallel.cores import available_cores

SETTINGS = ("CAFFE_TF32", "CAFFE_CUDNN_WORKSPACE_MB", "CUDA_VISIBLE_DEVICES")
"""Environment variables that change what is measured on a GPU (docs/engine.md)."""


def arithmetic() -> str:
    """Return the name of the arithmetic in force, float32 or TF32, by the environment."""
    return "TF32" if os.environ.get("CAFFE_TF32") == "1" else "float32"


def has_tf32(gpu: int | None) -> bool:
    """Return whether a GPU (None: the CPU) has TF32: compute capability 8.0 and newer.

    False where the driver does not answer, which :func:`describe_machine` reports.
    """
    try:
        return gpu is not None and cuda_driver.devices()[gpu].capability >= (8, 0)
    except (cuda_driver.DriverError, IndexError):
        return False


def describe_machine(options: Options) -> dict:
    """Name the devices and the libraries in use; raises UserError when the GPU cannot be used."""
    use_device(options.gpu)
    facts = {
        "processor": f"{device_name()}, {available_cores()} cores",
        "Caffe": caffe.__version__,
        "BLAS": describe_blas(),
        "CPU kernels": cpu_kernels(),
        "Python": f"{platform.python_version()}, numpy {np.__version__}",
        "OpenCV": f"{cv2.__version__}, {cv2.getNumThreads()} threads",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
    if options.gpu is not None:
        facts.update(_describe_gpu(options.gpu))
    return {"facts": facts, "passed": True}


def _describe_gpu(number):
    device = cuda_driver.devices()[number]
    free, total = cuda_driver.memory()
    without = "" if has_tf32(number) else ", without TF32: those parts are left out"
    return {
        "GPU": f"{number}: {device.name}, compute capability "
               f"{'.'.join(map(str, device.capability))}{without}",
        "GPU memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free",
        "driver": f"{cuda_driver.driver_version() or 'version unknown'}, "
                  f"serves CUDA up to {'.'.join(map(str, cuda_driver.cuda_version()))}",
        "cuBLAS": _library_version("cublas"),
        "cuDNN": _library_version("cudnn"),
        **{variable: os.environ.get(variable, "unset") for variable in SETTINGS},
    }


def _library_version(name):
    """Ask the library lib``name``.so that Caffe has loaded for its version."""
    maps = Path("/proc/self/maps").read_text()
    found = re.search(rf"(/\S*/lib{name}\.so[.\d]*)$", maps, re.MULTILINE)
    if not found:
        return "not loaded as a shared library"
    ask, numbers = getattr(ctypes.CDLL(found.group(1)), f"{name}GetProperty"), []
    for part in range(3):  # libraryPropertyType: major, minor, patch level
        number = ctypes.c_int()
        ask(part, ctypes.byref(number))
        numbers.append(str(number.value))
    return ".".join(numbers)


class OtherPrograms:
    """Measures the ``share`` (0 to 1) of the machine's cores that others took during the block."""

    def __enter__(self):
        self.before = self._read()
        return self

    def __exit__(self, kind, value, trace):
        busy, every, own = (now - before for now, before in zip(self._read(), self.before))
        self.share = round(max(0.0, (busy - own) / max(every, 1e-9)), 3)

    @staticmethod
    def _read():
        """Return seconds so far: all cores busy, all cores, and this process's ended children."""
        times, own = psutil.cpu_times(), os.times()
        every = sum(times) - times.guest - times.guest_nice  # which are part of user and nice
        return every - times.idle - times.iowait, every, own.children_user + own.children_system
