"""The cores of the machine shared out among processes and BLAS threads: what goes fastest?

Caffe's im2col runs on one thread, its products on as many as BLAS has. The threads of a process
are those of its environment (OPENBLAS_NUM_THREADS), which :mod:`checks.benchmark.parts` sets.
"""

import contextlib
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from statistics import median

from caffe.proto import caffe_pb2

from checks import torch_reference
from checks.benchmark.models import solver_of
from checks.gpu.timing import EXPRESSIONS, spoken, torch_request
from objseg.data.dataset import Dataset
from objseg.data.images import read_image
from objseg.methods.ours import Segmenter
from objseg.parallel.ranks import open_ranks

PATIENCE = 300
"""Seconds that a process waits for the others to be ready."""


@contextlib.contextmanager
def evaluation(check, folder):
    """Yield a step of evaluation: an image with its expressions, on a shared trunk."""
    dataset = Dataset(check.data)
    segmenter = Segmenter(check.path("deploy", "highres"), None, dataset.vocabulary)
    image = dataset.images("test")[0]
    pixels, expressions = read_image(image.path), spoken(image)
    yield lambda: list(segmenter.responses(pixels, expressions))


@contextlib.contextmanager
def training(check, folder):
    """Yield a step of training of stage 2: an image."""
    solver, _ = solver_of(check, "highres", folder)
    # the data layer's workers must end before this process can
    with contextlib.closing(solver.net.layers[0].stream):
        yield lambda: solver.step(1)


TASKS = {"evaluation": (evaluation, EXPRESSIONS), "training": (training, 1)}
"""By name: what makes a step, with files of its own in a folder; and what a step counts for."""


def time_split(check, task, split):
    """Run a task in several processes at once; ``split`` is PROCESSESxTHREADS, such as 2x1.

    Returns seconds an expression (evaluation) or an image (training), all processes together, from
    the time when all are ready. In training they exchange no gradients: it is what data-parallel
    training, :func:`time_ranks`, could reach at most.
    """
    processes, _ = sizes(split)
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(
        processes, context, _set_up, (context.Barrier(processes, timeout=PATIENCE), check, task)
    )
    with executor:
        futures = [executor.submit(_work) for _ in range(processes)]
        spans = [future.result() for future in futures]
    began, ended = (f(times) for f, times in zip((min, max), zip(*spans)))
    count = processes * check.iterations * TASKS[task][1]
    return {"seconds": [(ended - began) / count], "passed": True}


def time_ranks(check, count):
    """Train in ``count`` processes of mpirun that average their gradients, an image each.

    Returns seconds an image, all processes together, and the bytes that each sends in an iteration;
    None in all but the first process.
    """
    check.device()
    ranks = open_ranks(mpi=True)
    with ranks.together():
        solver, net = solver_of(check, "highres", Path(tempfile.mkdtemp(dir=check.work)))
        with contextlib.closing(solver.net.layers[0].stream):
            parameters = caffe_pb2.SolverParameter(net_param=net)
            ranks.average_gradients(solver, parameters, lambda: None)
            solver.step(1)
            ranks.wait()
            began = time.monotonic()
            solver.step(check.iterations)
            ranks.wait()
            seconds = time.monotonic() - began
    if ranks.rank == 0:
        images = check.iterations * int(count)
        return {"seconds": [seconds / images], "bytes": ranks.bytes, "passed": True}


def time_torch_split(check, task, split):
    """Time ``task`` of :func:`checks.gpu.timing.time_torch` in several processes at once.

    Returns seconds an expression (shared) or an image (train), all processes together.
    """
    processes, threads = sizes(split)
    request = {**torch_request(check, task, 1), "threads": threads}
    with ThreadPoolExecutor(processes) as pool:
        answers = list(pool.map(
            lambda _: torch_reference.ask(check.torch_python, request), range(processes)
        ))
    rate = sum(1 / median(answer["seconds"]) for answer in answers)
    count = EXPRESSIONS if task == "shared" else 1
    return {"seconds": [1 / (rate * count)], "passed": True}


def sizes(split):
    """The (processes, threads) of a text such as 2x1."""
    processes, threads = map(int, split.split("x"))
    return processes, threads


def _set_up(*arguments):
    global _arguments
    _arguments = arguments


def _work():
    """Make the step, wait for the others, take ``check.iterations`` steps; (began, ended)."""
    barrier, check, task = _arguments
    check.device()
    with TASKS[task][0](check, Path(tempfile.mkdtemp(dir=check.work))) as step:
        step()
        barrier.wait()
        began = time.monotonic()
        for _ in range(check.iterations):
            step()
        return began, time.monotonic()
