"""The cores of the machine divided among processes and BLAS threads: which division is fastest?

Caffe's im2col runs on one thread, its products on as many as BLAS has. A division is written
PROCESSESxTHREADS, such as 2x1. :mod:`checks.processes` starts the processes with mpirun and sets
their threads.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from checks import nets
from checks.options import Options
from checks.processes import sizes
from checks.timing import EXPRESSIONS, spoken, time_torch
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
    for itself; or mpi-training, which exchanges gradients: ``bytes`` are sent by each in an
    iteration. The seconds are those of all processes together, from when all are ready.
    """
    processes, _ = sizes(split)
    ranks, exchange = open_ranks(mpi=processes > 1), task == "mpi-training"
    options.use_device()
    steps = _evaluation if task == "evaluation" else _training
    with ranks.together(), steps(options, ranks, exchange) as step:
        step()
        ranks.wait()
        began = time.monotonic()
        for _ in range(options.iterations):
            step()
        ranks.wait()
        seconds = time.monotonic() - began
    if ranks.rank:
        return None
    count = options.iterations * processes * (EXPRESSIONS if task == "evaluation" else 1)
    return {"seconds": [seconds / count], "passed": True}


def time_torch_split(options: Options, task: str, split: str) -> dict:
    """Time a task of :func:`time_split` in PyTorch, in several processes at once."""
    processes, threads = sizes(split)
    torch_task = "shared" if task == "evaluation" else "training"
    with ThreadPoolExecutor(processes) as pool:
        futures = [pool.submit(time_torch, options, torch_task, threads=threads)
                   for _ in range(processes)]
        rate = sum(1 / median(future.result()["seconds"]) for future in futures)
    return {"seconds": [1 / rate], "passed": True}
