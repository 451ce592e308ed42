"""Training a stage with a Caffe solver: progress, validation, snapshots, clean interruption."""

import re
import signal
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.files import Progress, write_text
from objseg.images import ImageError, read_image
from objseg.metrics import areas, summarize
from objseg.segmenter import Segmenter, use_device
from objseg.weights import WeightsError, check_fits

SMOOTHING = 20
"""Iterations that the displayed loss is averaged over."""


def newest(folder, stage, ending):
    """Return (path, iteration) of the newest ``<stage>_iter_N.<ending>`` in folder, or None."""
    found = []
    for path in Path(folder).glob(f"{stage}_iter_*.{ending}"):
        match = re.fullmatch(rf"{stage}_iter_(\d+)\.{ending}", path.name)
        if match:
            found.append((int(match.group(1)), path))
    if not found:
        return None
    iteration, path = max(found)
    return path, iteration


def make_solver(solver_file, weights, gpu=None):
    """Build the Caffe solver of ``solver_file`` for the CPU (``gpu`` None) or a GPU.

    The file stays the single source of the values. Overridden are only the mode, the starting
    weights (a path or None), which are checked before Caffe reads them, and Caffe's own test
    phase and snapshots, which :func:`train` replaces. Returns (solver, its SolverParameter).
    """
    parameters = text_format.Parse(Path(solver_file).read_text(), caffe_pb2.SolverParameter())
    interval = parameters.snapshot
    parameters.solver_mode = parameters.CPU if gpu is None else parameters.GPU
    for field in ("weights", "test_iter", "test_interval", "snapshot", "display"):
        parameters.ClearField(field)
    if gpu is not None:
        parameters.device_id = gpu
    own = Path(solver_file).with_suffix(".run.prototxt")
    write_text(own, str(parameters))
    use_device(gpu)
    solver = caffe.get_solver(str(own))
    if weights is not None:
        if not Path(weights).is_file():
            raise WeightsError(f"{weights}: no such file; it is where this stage starts from")
        check_fits(solver.net, weights)
        solver.net.copy_from(str(weights))
    parameters.snapshot = interval
    return solver, parameters


class Interruption:
    """Within the block SIGINT and SIGTERM only set ``number``, the signal that arrived."""

    def __enter__(self):
        self.number = None
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind, value, trace):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.number = number


class Validation:
    """Overall IoU on some images of the val split, with the weights of the net in training."""

    def __init__(self, dataset, deploy, net, limit, gpu=None):
        self.images = [image for image in dataset.images("val") if image.regions][:limit]
        self.dataset = dataset
        self.segmenter = Segmenter(deploy, None, dataset.vocabulary, gpu)
        self.segmenter.net.share_with(net)

    def overall_iou(self):
        """Score every expression of the images; returns overall IoU in [0, 1], nan if none."""
        measured = []
        for image in self.images:
            try:
                pixels = read_image(image.path)
            except ImageError:
                continue  # the data layer reports it
            masks = self.dataset.masks(image.id)
            pairs = [(masks[r.id], e) for r in image.regions for e in r.expressions]
            scores = self.segmenter.scores(pixels, [expression for _, expression in pairs])
            measured += [areas(score > 0, mask) for (mask, _), score in zip(pairs, scores)]
        return summarize(*zip(*measured))["overall_iou"] if measured else float("nan")


def train(solver, parameters, stage, log, validation=None, validate_every=0):
    """Run ``solver`` to its last iteration or to an interruption.

    Snapshots are taken every ``parameters.snapshot`` iterations, at the end, and when SIGINT or
    SIGTERM arrives; then the iteration in progress is finished first. Raises FloatingPointError
    when the loss is not finite. Returns the number of the signal that stopped it, or None.
    """
    data_layer = solver.net.layers[0]
    start, end = solver.iter, parameters.max_iter
    recent = []
    with Interruption() as interruption, Progress(end, stage, "it", initial=start) as progress:
        while solver.iter < end and interruption.number is None:
            began, waited = time.perf_counter(), data_layer.seconds
            rate = solver.lr
            solver.step(1)
            loss = float(solver.net.blobs["loss"].data)
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at iteration {solver.iter}; the last snapshot is intact. "
                    "Lower the learning rate, or start from other weights"
                )
            seconds = time.perf_counter() - began
            recent = (recent + [loss])[-SMOOTHING:]
            iou = ""
            if validation and (solver.iter % validate_every == 0 or solver.iter == end):
                iou = validation.overall_iou()
                progress.write(f"{stage} iteration {solver.iter}: val overall IoU {iou:.4f}")
            log.add(iteration=solver.iter, loss=loss, rate=rate, seconds=round(seconds, 4),
                    data_seconds=round(data_layer.seconds - waited, 4), val_overall_iou=iou)
            progress.advance(note=f"loss {np.mean(recent):.4f}, rate {rate:.2g}")
            if solver.iter % parameters.snapshot == 0 and solver.iter < end:
                solver.snapshot()
        solver.snapshot()
    return interruption.number
