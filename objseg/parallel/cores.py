"""The processor cores that this process may use."""

import os


def available_cores() -> int:
    """Return the number of cores that the process may use, at least 1.

    A batch system or ``taskset`` grants fewer than the machine has, which ``os.cpu_count`` counts.
    """
    return len(os.sched_getaffinity(0))
