"""The parts that measure: training, segmentation, and the same in PyTorch."""

import resource
import time

import caffe
import numpy as np

from checks import torch_reference
from checks.gpu import machine, nets
from checks.gpu.comparison import LIMITS, greatest_error
from objseg.caffe import cuda_driver
from objseg.data.dataset import Dataset
from objseg.data.images import read_image
from objseg.methods.ours import Segmenter, time_responses
from objseg.training import cost

EXPRESSIONS = 6
"""Expressions that share an image in use, about as many as a ReferIt image has."""


def time_training(check, stage, images):
    """Train the committed net of ``stage`` for some iterations on batches of ``images``."""
    check.device()
    free = cuda_driver.memory()[0] if check.gpu is not None else None
    images = int(images)
    net_parameters = nets.on_data(nets.read_net(check.path("train", stage)), check.data, images)
    solver_parameters = nets.read_solver(check.path("solver", stage))
    frozen = cost.frozen_layers(net_parameters)
    solver = nets.make_solver(check.work, solver_parameters, net_parameters)
    net, data_layer, result = solver.net, solver.net.layers[0], {}
    if images == 1:
        caffe.set_mode_cpu()
        net.forward()
        result["loss_on_the_cpu"] = _loss(net)
        data_layer.seek(0)
        check.device()
    wait = cuda_driver.synchronize if check.gpu is not None else None
    result.update(run_iterations(solver, check.iterations, wait))
    losses = result["losses"]
    operations = cost.operations(net, frozen)
    needed = cost.training_memory(net, images, solver_parameters.type, frozen)
    off = abs(losses[0] - result.get("loss_on_the_cpu", losses[0])) / abs(losses[0])
    return {
        **result, "images": images, "arithmetic": machine.arithmetic(), **peak_memory(free),
        "memory_expected": needed.total(images), "operations": operations,
        "bus_bytes": cost.bus_bytes(net, frozen),
        "passed": bool(np.isfinite(losses).all() and off <= LIMITS[machine.arithmetic()].values),
    }


def run_iterations(solver, count, wait=None):
    """Train for one iteration more than ``count``.

    ``wait`` is called at the end of each: a step returns while a GPU still has the last kernels of
    it to run. Returns all ``losses``, and ``seconds`` and ``data_seconds``, spent in the data
    layer, of every iteration but the first, which allocates the net's blobs.
    """
    net, data_layer = solver.net, solver.net.layers[0]
    losses, seconds, waited = [], [], []
    for _ in range(count + 1):
        began, before = time.perf_counter(), data_layer.seconds
        solver.step(1)
        losses.append(_loss(net))
        if wait:
            wait()
        seconds.append(time.perf_counter() - began)
        waited.append(data_layer.seconds - before)
    return {"losses": losses, "seconds": seconds[1:], "data_seconds": waited[1:]}


def _loss(net):
    return float(net.blobs["loss"].data)


def peak_memory(free_before=None):
    """Return {"memory": bytes}, the most that this process held.

    On the GPU if ``free_before`` bytes were free there before; CUDA's context does not count.
    """
    if free_before is None:
        return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    # Caffe gives nothing back while a net lives, so what it holds at the end is the peak.
    return {"memory": free_before - cuda_driver.memory()[0]}


def time_segmentation(check):
    """Time an expression alone and with a trunk that others share, and compare with the CPU."""
    dataset = Dataset(check.data)
    segmenter = Segmenter(check.path("deploy", "highres"), None, dataset.vocabulary, check.gpu)
    alone, shared = [], []
    for turn, image in enumerate(dataset.images("test")):
        pixels, expressions = read_image(image.path), spoken(image)
        responses, together = time_responses(segmenter, pixels, [expressions])
        _, apart = time_responses(segmenter, pixels, [[text] for text in expressions])
        if turn == 0:  # warms up
            caffe.set_mode_cpu()
            expected, _ = time_responses(segmenter, pixels, [expressions])
            check.device()
            error = greatest_error(np.array(expected), np.array(responses))
            continue
        shared.append(together / EXPRESSIONS)
        alone.append(apart / EXPRESSIONS)
    limit = LIMITS[machine.arithmetic()].values
    return {
        "alone": alone, "shared": shared, "expressions": EXPRESSIONS, "error": error,
        "limit": limit, "operations": cost.operations(segmenter.net)[0],
        "arithmetic": machine.arithmetic(), "passed": error <= limit,
    }


def spoken(image):
    """EXPRESSIONS expressions (list of str) of an Image, some twice where it has fewer."""
    expressions = [text for region in image.regions for text in region.expressions]
    return (expressions * EXPRESSIONS)[:EXPRESSIONS]


def time_torch(check, task, images):
    """Time the same network in PyTorch: task train, alone or shared."""
    answer = torch_reference.ask(check.torch_python, torch_request(check, task, images))
    return {**answer, "arithmetic": machine.arithmetic(), "passed": True}


def torch_request(check, task, images):
    """Return the request to :mod:`checks.torch_reference` for a task of :func:`time_torch`."""
    net = caffe.Net(str(check.path("deploy", "highres")), caffe.TEST)
    train_net = nets.read_net(check.path("train", "highres"))
    expressions = {"alone": 1, "shared": EXPRESSIONS,
                   "train": nets.expressions_per_image(train_net)}
    return {
        "shapes": nets.shapes(net), "task": "train" if task == "train" else "segment",
        "frozen": sorted(cost.frozen_layers(train_net)),
        "device": "cpu" if check.gpu is None else f"cuda:{check.gpu}", "threads": 0,
        "tf32": machine.arithmetic() == "TF32", "input": net.blobs["image"].shape[2],
        "words": net.blobs["tokens"].shape[0], "images": int(images),
        "expressions": expressions[task], "iterations": check.iterations,
    }
