"""Describe the machine: the processor, the libraries, the load."""

import os
import platform
import resource
from pathlib import Path

import caffe
import cv2
import numpy as np

from objseg.caffe.blas import describe_blas
from objseg.caffe.devices import device_name


def describe_machine(check):
    """Facts of the machine and of the libraries in use, {name: text}."""
    return {"facts": {
        "processor": f"{device_name()}, {cores()} cores",
        "Caffe": caffe.__version__,
        "BLAS": describe_blas(),
        "Python": f"{platform.python_version()}, numpy {np.__version__}",
        "OpenCV": f"{cv2.__version__}, {cv2.getNumThreads()} threads",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }, "passed": True}


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Others:
    """Measures which share of the machine other programs took while the block ran."""

    def __enter__(self):
        self.busy, self.all, self.own = self._read()
        return self

    def __exit__(self, kind, value, trace):
        busy, every, own = self._read()
        taken = (busy - self.busy) - (own - self.own)
        self.share = max(0.0, taken / max(every - self.all, 1e-9))

    @staticmethod
    def _read():
        """Seconds so far: all cores busy, all cores, and of the children of this process."""
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, idle, wait, irq, softirq, steal = (
            int(word) / os.sysconf("SC_CLK_TCK") for word in words
        )
        busy = user + nice + system + irq + softirq + steal
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return busy, busy + idle + wait, children.ru_utime + children.ru_stime
