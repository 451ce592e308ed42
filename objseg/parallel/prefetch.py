"""A stream of results computed ahead in background processes, in a fixed order."""

import atexit
import ctypes
import multiprocessing
import os
import signal
import traceback

import cv2

from objseg.errors import UserError, is_for_user

PR_SET_PDEATHSIG = 1


class WorkerError(UserError):
    """A background process failed or died; the message says which and why."""


class Prefetcher:
    """Iterate over ``make(first), make(first + 1), ...``, ``count`` items or without end.

    Item i is made by worker i modulo ``workers``, so the stream does not depend on their number.
    Each worker holds a finished item until it is taken, and then makes the next: the queue is
    bounded (items smaller than a pipe's buffer, 64 KiB, run ahead by as many as fit).
    The processes end with :meth:`close`, and also when the parent dies in any way.
    """

    def __init__(self, make, workers, first=0, count=None):
        if workers < 1:
            raise UserError(f"{workers} data workers: expected at least 1")
        self.next_item = first
        self.end = None if count is None else first + count
        # fork: the data set is shared as it is, and the embedded interpreter of the caffe command
        # has no executable that a spawned worker could be started with.
        context = multiprocessing.get_context("fork")
        self.workers = []
        for index in range(workers):
            start = first + (index - first) % workers
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, daemon=True,
                args=(make, sender, start, workers, self.end, os.getpid()),
            )
            process.start()
            sender.close()  # only the worker may hold this end, so that its death is seen at once
            self.workers.append((process, receiver))
        # multiprocessing would end them by SIGTERM, which they ignore, and wait
        atexit.register(self.close)

    def __iter__(self):
        return self

    def __next__(self):
        if self.next_item == self.end:
            raise StopIteration
        index = self.next_item % len(self.workers)
        process, receiver = self.workers[index]
        try:
            failure, item = receiver.recv()
        except (EOFError, OSError):  # OSError when it died while it sent
            process.join(timeout=1)
            raise WorkerError(
                f"data worker {index} died (exit code {process.exitcode}) before item "
                f"{self.next_item}; a code of -9 usually means that memory ran out: take fewer "
                "--workers"
            ) from None
        if failure:
            raise WorkerError(failure)
        self.next_item += 1
        return item

    def close(self):
        """Stop the workers; safe to call twice."""
        for process, receiver in self.workers:
            process.kill()
            receiver.close()
        for process, _ in self.workers:
            process.join(timeout=5)
        self.workers = []
        atexit.unregister(self.close)


def _work(make, sender, item, stride, end, parent):
    # Ctrl-C, and SIGTERM from timeout or a batch system, reach the whole process group. It is for
    # the parent to decide what happens then, and it may need more items first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A parent that is killed cannot tell its workers: let the kernel do it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    cv2.setNumThreads(0)
    while end is None or item < end:
        try:
            message = (None, make(item))
        except Exception as error:
            text = str(error) if is_for_user(error) else \
                f"data worker failed on item {item}:\n{traceback.format_exc()}"
            message = (text, None)
        try:
            sender.send(message)
        except BrokenPipeError:
            return
        if message[0]:
            return
        item += stride
