"""Ask the CUDA driver about the machine: its GPUs and their memory.

Asked of libcuda itself, which is there wherever a GPU can be used, so that it needs no other
program and no CUDA toolkit.
"""

import ctypes
import re
from pathlib import Path
from typing import NamedTuple

from objseg.errors import UserError

COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
KERNEL_MODULE = Path("/proc/driver/nvidia/version")


class Device(NamedTuple):
    """A GPU: its number, name and compute capability (major, minor)."""

    number: int
    name: str
    capability: tuple[int, int]


class DriverError(UserError):
    """The driver is missing or refuses; the message is its own."""


def _call(function, *arguments):
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise DriverError(f"no NVIDIA driver on this machine ({error})") from error
    code = getattr(library, function)(*arguments)
    if code:
        text = ctypes.c_char_p()
        library.cuGetErrorString(code, ctypes.byref(text))
        raise DriverError(f"{function}: {(text.value or b'unknown').decode()} ({code})")


def _integer(function, *arguments):
    value = ctypes.c_int()
    _call(function, ctypes.byref(value), *arguments)
    return value.value


def devices() -> list[Device]:
    """List the GPUs that this process may use as Devices, numbered as ``--gpu`` numbers them.

    Raises DriverError where there is no driver, or none that works.
    """
    _call("cuInit", 0)
    return [_device(number) for number in range(_integer("cuDeviceGetCount"))]


def _device(number):
    handle = _integer("cuDeviceGet", number)
    name = ctypes.create_string_buffer(256)
    _call("cuDeviceGetName", name, len(name), handle)
    major, minor = (
        _integer("cuDeviceGetAttribute", attribute, handle) for attribute in COMPUTE_CAPABILITY
    )
    return Device(number, name.value.decode(), (major, minor))


def driver_version() -> str | None:
    """Return the installed driver's version, such as 580.65.06; None where there is none."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+[\d.]+)\s", KERNEL_MODULE.read_text())
    except OSError:
        return None
    return found and found.group(1)


def cuda_version() -> tuple[int, int]:
    """Return the newest CUDA that the driver can serve, (major, minor). Raises DriverError."""
    version = _integer("cuDriverGetVersion")
    return version // 1000, version % 1000 // 10


def memory() -> tuple[int, int]:
    """Return the bytes (free, total) of this thread's GPU; what other programs hold is not free.

    Call it after Caffe has taken the GPU. Raises DriverError without one.
    """
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def synchronize() -> None:
    """Wait until this thread's GPU has done all that it was given.

    Raises DriverError without one, and where a kernel has failed.
    """
    _call("cuCtxSynchronize")
