"""Commands that depend on each other: run some at a time, and end them together."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter

from objseg.files import REPOSITORY

GRACE = 60
"""Seconds that a step has to end by itself, such as a training that takes a last snapshot."""


@dataclass(frozen=True)
class Step:
    """A tool with its arguments, called ``name``; ``after`` names the steps that it builds on.

    Names in ``after`` that no step has are passed over. ``threads`` is the number of BLAS threads
    of the command, and of each process that it starts.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...]
    threads: int

    def __str__(self):
        return f"OPENBLAS_NUM_THREADS={self.threads} python {shlex.join(self.command)}"


class Steps:
    """Runs steps, ``jobs`` at a time, numbered through to ``total``; a context manager.

    Leaving the block, also by Ctrl-C or SIGTERM, ends the commands that still run, waits for them
    and leaves no process behind.
    """

    def __init__(self, total: int, jobs: int):
        self.total, self.jobs = total, jobs
        self.started = 0
        self.running = {}

    def __enter__(self):
        self.previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        return self

    def __exit__(self, *error):
        for process in list(self.running.values()):
            process.terminate()
        last = time.monotonic() + GRACE
        for process in list(self.running.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, last - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        signal.signal(signal.SIGTERM, self.previous)

    def run(self, steps: list[Step]) -> list[str]:
        """Run ``steps`` and return the names of those that failed or could not start.

        A step that fails keeps those that build on it from running, and no others.
        """
        by_name = {step.name: step for step in steps}
        graph = TopologicalSorter({
            step.name: [name for name in step.after if name in by_name] for step in steps
        })
        graph.prepare()
        waiting, futures, done = deque(), {}, set()
        pool = ThreadPoolExecutor(self.jobs)  # not as a context, which would wait for the commands
        while graph.is_active():
            waiting.extend(graph.get_ready())
            while waiting and len(futures) < self.jobs:
                step = by_name[waiting.popleft()]
                futures[pool.submit(self._follow, step, *self._start(step))] = step.name
            if not futures:
                break
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                name = futures.pop(future)
                if future.result() == 0:
                    done.add(name)
                    graph.done(name)
        pool.shutdown()
        return [step.name for step in steps if step.name not in done]

    def _start(self, step):
        """Start the command of a step; returns the step's title and the process."""
        self.started += 1
        title = f"step {self.started} of {self.total}: {step.name}"
        print(title, flush=True)
        # Several at a time would tear each other's progress bars, which a pipe turns into lines.
        output = None if self.jobs == 1 else subprocess.PIPE
        process = self.running[step.name] = subprocess.Popen(
            [sys.executable, *step.command], cwd=REPOSITORY, process_group=0, stdout=output,
            stderr=output and subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "OPENBLAS_NUM_THREADS": str(step.threads)},
        )
        return title, process

    def _follow(self, step, title, process):
        """Show what a step prints, wait for its end, and return its exit status."""
        began = time.monotonic()
        for line in process.stdout or ():
            print(f"{step.name}: {line}", end="", flush=True)
        status = process.wait()
        del self.running[step.name]
        end = f"failed with exit status {status}" if status else "done"
        print(f"{title}: {end} after {time.monotonic() - began:.0f} s", flush=True)
        return status
