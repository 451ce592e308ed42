"""Describe what is checked: the GPU, its driver, the libraries that Caffe has loaded, settings."""

import ctypes
import os
import platform
import re
from pathlib import Path

import caffe
import numpy as np

from objseg.caffe import cuda_driver
from objseg.caffe.devices import device_name, use_device

SETTINGS = {
    "CAFFE_TF32": "float32 arithmetic; 1 lets matrix products round their factors to TF32",
    "CAFFE_CUDNN_WORKSPACE_MB": "64, for each convolution and each of its three streams",
    "CUDA_VISIBLE_DEVICES": "every GPU",
    "OPENBLAS_NUM_THREADS": "every core",
}
"""Environment variables that change what is measured, and what it means to leave them unset."""


def arithmetic():
    """The name of the arithmetic in force, float32 or TF32, by the environment."""
    return "TF32" if os.environ.get("CAFFE_TF32") == "1" else "float32"


def has_tf32(gpu):
    """Whether GPU number ``gpu`` (None for the CPU) has TF32: compute capability 8.0 and newer.

    Where the driver does not answer, which :func:`describe_machine` reports, it has not.
    """
    try:
        return gpu is not None and cuda_driver.devices()[gpu].capability >= (8, 0)
    except (cuda_driver.DriverError, IndexError):
        return False


def describe(gpu):
    """Facts of the machine and of GPU number ``gpu`` (None for the CPU alone), {name: text}."""
    facts = {
        "Caffe": f"{caffe.__version__} in {Path(caffe.__file__).parent}",
        "Python": f"{platform.python_version()}, numpy {np.__version__}",
        "CPU": f"{device_name()}, {len(os.sched_getaffinity(0))} cores usable",
    }
    if gpu is not None:
        facts.update(_gpu(gpu))
    for name, version in (("CUDA runtime", _cudart), ("cuBLAS", _cublas), ("cuDNN", _cudnn)):
        facts[name] = version() or "not loaded as a shared library"
    for variable, unset in SETTINGS.items():
        facts[variable] = os.environ.get(variable) or f"unset: {unset}"
    return facts


def _gpu(number):
    device = cuda_driver.devices()[number]
    free, total = cuda_driver.memory()
    major, minor = cuda_driver.cuda_version()
    tf32 = "" if has_tf32(number) else ", without TF32: those parts are left out"
    return {
        "GPU": f"{number}: {device.name}, compute capability "
               f"{device.capability[0]}.{device.capability[1]}{tf32}",
        "GPU memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free",
        "driver": f"{cuda_driver.driver_version() or 'version unknown'}, "
                  f"serves CUDA up to {major}.{minor}",
    }


def _loaded(name):
    """The library ``name`` if this process has loaded it, Caffe's own copy, else None."""
    maps = Path("/proc/self/maps").read_text()
    found = re.search(rf"(/\S*/{name}\.so[.\d]*)$", maps, re.MULTILINE)
    return found and ctypes.CDLL(found.group(1))


def _cudart():
    library, version = _loaded("libcudart"), ctypes.c_int()
    if library is None:
        return None
    library.cudaRuntimeGetVersion(ctypes.byref(version))
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _cublas():
    library, number = _loaded("libcublas"), ctypes.c_int()
    if library is None:
        return None
    parts = []
    for part in range(3):  # libraryPropertyType: major, minor, patch
        library.cublasGetProperty(part, ctypes.byref(number))
        parts.append(str(number.value))
    return ".".join(parts)


def _cudnn():
    library = _loaded("libcudnn")
    if library is None:
        return None
    library.cudnnGetVersion.restype = ctypes.c_size_t
    version = library.cudnnGetVersion()
    base = 10000 if version >= 90000 else 1000  # 90100 is 9.1.0, 8902 is 8.9.2
    return f"{version // base}.{version % base // 100}.{version % 100}"


def describe_machine(check):
    """Name the GPU, its driver and the libraries; UserError says why a GPU cannot be used."""
    use_device(check.gpu)
    facts, speed = describe(check.gpu), None
    if check.gpu is not None:
        to, back = speed = cuda_driver.bus_speed()
        facts["bus"] = f"{to / 1e9:.1f} GB/s to the GPU, {back / 1e9:.1f} GB/s from it"
    return {"facts": facts, "bus_speed": speed, "passed": True}
