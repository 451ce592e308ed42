"""The processes that make batches: they end, they die with their parent, their errors are told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from objseg.files import REPOSITORY
from objseg.parallel.prefetch import Prefetcher, WorkerError


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_stream_of_so_many_items_ends(workers, count):
    stream = Prefetcher(lambda item: item * item, workers, first=3, count=count)
    assert list(stream) == [item * item for item in range(3, 3 + count)]
    stream.close()


def test_a_failing_worker_reports_its_traceback():
    stream = Prefetcher(lambda item: 1 // (2 - item), workers=2)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        next(stream)
    stream.close()


def test_a_killed_worker_is_noticed():
    stream = Prefetcher(lambda item: os.kill(os.getpid(), signal.SIGKILL), workers=1)
    with pytest.raises(WorkerError, match="exit code -9"):
        next(stream)
    stream.close()


def test_a_worker_killed_while_it_sends_is_noticed():
    stream = Prefetcher(lambda item: np.zeros(10**6), workers=1)  # more than a pipe holds
    time.sleep(0.5)
    stream.workers[0][0].kill()
    with pytest.raises(WorkerError, match="exit code -9"):
        next(stream)
    stream.close()


def test_the_queue_is_bounded(tmp_path):
    def make(item):
        (tmp_path / str(item)).touch()
        return np.zeros(10**6)  # more than a pipe holds

    stream = Prefetcher(make, workers=2)
    next(stream)
    time.sleep(0.5)
    made = len(list(tmp_path.iterdir()))
    stream.close()
    assert made <= 1 + 2 * 2  # the one taken, and a finished and a new one for each worker


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_a_killed_caffe(slim_nets, how):
    """The caffe command itself, killed while it trains."""
    process = subprocess.Popen(
        ["caffe", "train", "-solver", str(long_solver(slim_nets))], cwd=str(REPOSITORY),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: process.poll() is not None or len(children(process.pid)) >= 2)
    workers = children(process.pid)
    assert len(workers) == 2  # one for the train and one for the val split
    process.send_signal(how)
    process.wait(timeout=60)
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def long_solver(slim_nets):
    lines = (slim_nets / "solver_lowres.prototxt").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("weights:"))
    text = text.replace("max_iter: 2", "max_iter: 999")
    path = slim_nets / "long.prototxt"
    path.write_text(text)
    return path


def test_closing_ends_the_workers():
    code = ("from objseg.parallel.prefetch import Prefetcher\n"
            "s = Prefetcher(lambda i: i, 2)\n"
            "assert next(s) == 0\n"
            "workers = [p for p, _ in s.workers]\n"
            "s.close(); s.close()\n"
            "assert not any(p.is_alive() for p in workers)\n")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=str(REPOSITORY))
