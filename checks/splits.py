"""The cores of the machine divided among processes and BLAS threads: which division is fastest?

A division is written PROCESSESxTHREADS, such as 2x1. :mod:`checks.processes` starts the processes
with mpirun and sets their threads.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median

import numpy as np

from checks import nets
from checks.options import Options
from checks.processes import sizes
from checks.timing import EXPRESSIONS, clock, spoken, time_torch, times
from objseg.caffe.names import data_layer
from objseg.data.dataset import Dataset
from objseg.methods.ours import CaffeSegmenter
from objseg.parallel.ranks import open_ranks
from objseg.training.cost import frozen_layers


def splits(cores: int) -> list[str]:
    """List the divisions compared: one process with all cores, a process per core, one core."""
    return list(dict.fromkeys([f"1x{cores}", f"{cores}x1", "1x1"]))


@contextlib.contextmanager
def _evaluation(options, ranks, exchange):
    """Yield a step of evaluation: EXPRESSIONS expressions of an image, which share its trunk."""
    dataset = Dataset(options.data)
    segmenter = CaffeSegmenter(options.prototxt("deploy", "highres"), None, dataset.vocabulary)
    image = dataset.images("test")[0]
    pixels, expressions = dataset.pixels(image), spoken(image)
    yield lambda: list(segmenter.net_responses(pixels, expressions))


@contextlib.contextmanager
def _training(options, ranks, exchange) -> Iterator:
    """Yield an iteration of stage 2 on an image; ``exchange`` averages the ranks' gradients."""
    folder = Path(tempfile.mkdtemp(dir=options.work))
    net = nets.read_train_net(options.prototxt("train", "highres"), options.data, 1)
    solver, _ = nets.solver_of(folder, options.prototxt("solver", "highres"), net)
    if exchange:
        ranks.average_gradients(solver, frozen_layers(net), 1, lambda: None)
    # the data layer's workers must end before this process can
    with contextlib.closing(data_layer(solver.net).stream):
        yield lambda: solver.step(1)


def time_split(options: Options, task: str, split: str) -> dict | None:
    """Run a task in all processes of ``split`` at once; None in all processes but the first.

    ``task``: evaluation, in seconds per expression; training, in seconds per image, each process
    for itself; or mpi-training, which exchanges gradients. The seconds are those of all processes
    together, from when all are ready; those of the CPU are summed over the processes.
    """
    processes, _ = sizes(split)
    ranks, exchange = open_ranks(mpi=processes > 1), task == "mpi-training"
    options.use_device()
    steps = _evaluation if task == "evaluation" else _training
    with ranks.together(), steps(options, ranks, exchange) as step:
        step()
        ranks.wait()
        began = clock()
        for _ in range(options.iterations):
            step()
        ranks.wait()
        took = clock() - began
        worked = ranks.total(took)[1]
    if ranks.rank:
        return None
    count = options.iterations * processes * (EXPRESSIONS if task == "evaluation" else 1)
    return {**times("seconds", np.array([took[0], worked]) / count), "passed": True}


def time_torch_split(options: Options, task: str, split: str) -> dict:
    """Time a task of :func:`time_split` in PyTorch, in several processes at once."""
    processes, threads = sizes(split)
    torch_task = "shared" if task == "evaluation" else "training"
    with ThreadPoolExecutor(processes) as pool:
        futures = [pool.submit(time_torch, options, torch_task, threads=threads)
                   for _ in range(processes)]
        answers = [future.result() for future in futures]
    rate = sum(1 / median(answer["seconds"]) for answer in answers)
    worked = mean(median(answer["seconds CPU"]) for answer in answers)
    return {**times("seconds", [1 / rate, worked]), "passed": True}
