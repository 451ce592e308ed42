"""The parts that measure training, segmentation and both in PyTorch, in one process."""

import itertools
import resource
import time
from collections.abc import Callable, Iterable

import caffe
import numpy as np

from checks import nets, torch_python
from checks.comparison import LIMITS, greatest_error
from checks.machine import arithmetic
from checks.options import Options
from objseg.caffe import cuda_driver
from objseg.caffe.names import LOSS, data_layer
from objseg.caffe.weights import read_net
from objseg.data.dataset import Dataset, Image
from objseg.evaluation.table2 import seconds_per_expression
from objseg.export.model import save_model
from objseg.methods.onnx_segmenter import OnnxSegmenter
from objseg.methods.ours import CaffeSegmenter
from objseg.training import cost

EXPRESSIONS = 6
"""Expressions that share an image in use, about as many as an image of ReferIt has."""


def time_training(options: Options, model: str, images: str) -> dict:
    """Train a committed net for some iterations; figures of one iteration.

    A batch is of ``images``, or of as many expressions where the net reads features.
    """
    options.use_device()
    free = None if options.gpu is None else cuda_driver.memory()[0]
    parameters = nets.read_train_net(options.prototxt("train", model), options.data, int(images))
    solver, _ = nets.solver_of(options.work, options.prototxt("solver", model), parameters)
    net = solver.net
    wait = None if options.gpu is None else cuda_driver.synchronize
    result = run_iterations(solver, options.iterations, wait)
    return {
        **result, "memory": peak_memory(free),
        "operations": cost.operations(net, cost.frozen_layers(parameters)),
        "parameters": sum(blob.count for blobs in net.params.values() for blob in blobs),
        "passed": bool(np.isfinite(result["losses"]).all()),
    }


def clock() -> np.ndarray:
    """Return seconds that passed, and those that the processor's cores worked for this process.

    The latter repeat within a tenth on a busy machine, where the former do not.
    """
    return np.array([time.perf_counter(), time.process_time()])


def times(name: str, seconds: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Return differences of :func:`clock` as the entries of a result: ``name`` and "``name`` CPU".
    """
    passed, worked = np.reshape(list(seconds), (-1, 2)).T.tolist()
    return {name: passed, f"{name} CPU": worked}


def run_iterations(solver, count: int, wait: Callable[[], object] | None = None) -> dict:
    """Train for ``count`` + 1 iterations; returns lists of what each took, but for the first.

    ``wait`` is called at the end of each, since a step returns while a GPU still runs its last
    kernels. ``seconds`` hold ``data_seconds``, which the data layer took; the first iteration,
    which allocates, is left out of them, but not of ``losses``.
    """
    net, data = solver.net, data_layer(solver.net)
    losses, seconds, data_seconds = [], [], []
    for _ in range(count + 1):
        began, before = clock(), data.seconds
        solver.step(1)
        losses.append(float(net.blobs[LOSS].data))
        if wait:
            wait()
        seconds.append(clock() - began)
        data_seconds.append(data.seconds - before)
    return {"losses": losses, **times("seconds", seconds[1:]), "data_seconds": data_seconds[1:]}


def peak_memory(free_before: int | None) -> int:
    """Return the most bytes that this process held, on the GPU if so many were free before.

    CUDA's context does not count.
    """
    if free_before is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Caffe gives nothing back while a net lives, so it holds the peak at the end.
    return free_before - cuda_driver.memory()[0]


def time_segmentation(options: Options) -> dict:
    """Time expressions alone and with a trunk that EXPRESSIONS share; compare with the CPU's."""
    segmenter, cases = _work(options, options.gpu)
    found = list(segmenter.net_responses(*cases[0]))
    caffe.set_mode_cpu()
    expected = list(segmenter.net_responses(*cases[0]))
    options.use_device()
    return _timed(segmenter, cases, expected, found, LIMITS[arithmetic()].values)


def time_onnx(options: Options) -> dict:
    """Time what :func:`time_segmentation` does, in the file of tools/export_onnx.py, on the CPU.

    The responses are compared with Caffe's.
    """
    ours, cases = _work(options, None)
    weights, file = options.work / "onnx.caffemodel", options.work / "net.onnx"
    ours.net.save(str(weights))
    save_model(options.prototxt("deploy", "highres"), weights, options.data / "vocabulary.txt",
               file, "float32")
    segmenter = OnnxSegmenter(file)
    expected, found = (list(each.net_responses(*cases[0])) for each in (ours, segmenter))
    return _timed(segmenter, cases, expected, found, LIMITS["float32"].values)


def _work(options, gpu):
    """Return the committed net of stage 2 with random weights, in Caffe, and what it segments.

    That is a picture and EXPRESSIONS expressions for each timed repetition.
    """
    dataset = Dataset(options.data)
    segmenter = CaffeSegmenter(
        options.prototxt("deploy", "highres"), None, dataset.vocabulary, gpu
    )
    images = itertools.islice(itertools.cycle(dataset.images("test")), options.iterations)
    return segmenter, [(dataset.pixels(image), spoken(image)) for image in images]


def _timed(segmenter, cases, expected, found, limit):
    """Return the result of a part that segments, and whether ``found`` are the right responses.

    ``alone`` and ``shared`` are lists of seconds per expression, by :func:`times`.
    """
    error = greatest_error(np.array(expected), np.array(found))

    def masks(pixels, expressions):
        return [(segmenter.net_responses(pixels, expressions), None)]

    one_by_one = [(pixels, [text]) for pixels, expressions in cases for text in expressions]
    return {**times("shared", seconds_per_expression(masks, cases, clock=clock)),
            **times("alone", seconds_per_expression(masks, one_by_one, clock=clock)),
            "error": error, "limit": limit, "passed": error <= limit}


def spoken(image: Image) -> list[str]:
    """Return EXPRESSIONS expressions of an image, some twice where it has fewer."""
    expressions = [text for region in image.regions for text in region.expressions]
    return (expressions * EXPRESSIONS)[:EXPRESSIONS]


def time_torch(
    options: Options, task: str, images: str = "1", threads: int = 0, best: bool = False
) -> dict:
    """Time the network of stage 2 in PyTorch, on ``threads`` of the CPU (0: PyTorch's choice).

    ``task``: training, in seconds per iteration; alone or shared, in seconds per expression; these
    two also with PyTorch's ``best`` way to run a net.
    """
    net = caffe.Net(str(options.prototxt("deploy", "highres")), caffe.TEST)
    expressions = EXPRESSIONS if task == "shared" else 1
    answer = torch_python.ask(options.torch_python, net, {
        "train": task == "training", "threads": threads, "tf32": arithmetic() == "TF32",
        "frozen": sorted(cost.frozen_layers(read_net(options.prototxt("train", "highres")))),
        "device": "cpu" if options.gpu is None else f"cuda:{options.gpu}",
        "iterations": options.iterations, "warm_up": 2, "images": int(images),
        "expressions": expressions, "input": net.blobs["image"].shape[2],
        "words": net.blobs["tokens"].shape[0], "best": best,
    })
    seconds = np.array(answer.pop("seconds")) / expressions
    return {**answer, **times("seconds", seconds), "passed": True}


def time_best_torch(options: Options, task: str) -> dict:
    """Time what :func:`time_torch` does, in PyTorch's best way: ``way`` names it."""
    return time_torch(options, task, best=True)
