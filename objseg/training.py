"""Training a model with a Caffe solver: progress, validation, snapshots, clean interruption."""

import contextlib
import errno
import signal
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.devices import use_device
from objseg.files import Progress, write_text
from objseg.images import ImageError
from objseg.metrics import areas, summarize
from objseg.prefetch import WorkerError
from objseg.segmenter import Segmenter
from objseg.weights import WeightsError, check_fits, set_forget_bias

SMOOTHING = 20
"""Iterations that the displayed loss is averaged over."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A disk without room, and limits on what a user or a process may write."""


class TrainingError(ValueError):
    """Training that cannot go on; the message says what to do."""


def make_solver(solver_file, fresh, prefix, gpu=None, weights=True):
    """Build the Caffe solver of ``solver_file`` for the CPU (``gpu`` None) or a GPU.

    The file stays the single source of the values. Overridden are only the mode and Caffe's own
    test phase and snapshots, which :func:`train` replaces; ``prefix`` is that of
    :class:`objseg.snapshots.Snapshots`. Its starting weights are checked before
    Caffe reads them: only the layers ``fresh`` may be missing and start from their fillers.
    ``weights`` False leaves them out, for a snapshot that will be restored.
    Returns (solver, its SolverParameter).
    """
    use_device(gpu)
    parameters = text_format.Parse(Path(solver_file).read_text(), caffe_pb2.SolverParameter())
    used = caffe_pb2.SolverParameter()
    used.CopyFrom(parameters)
    used.solver_mode = used.CPU if gpu is None else used.GPU
    for field in ("weights", "test_iter", "test_interval", "snapshot", "display"):
        used.ClearField(field)
    used.snapshot_prefix = prefix
    if gpu is not None:
        used.device_id = gpu
    run_file = Path(solver_file).with_suffix(".run.prototxt")
    write_text(run_file, str(used))
    solver = caffe.get_solver(str(run_file))
    # A fresh LSTM, too, starts with its forget bias; starting weights bring theirs.
    if "lstm" in solver.net.params:
        set_forget_bias(solver.net.params["lstm"][1].data)
    for path in parameters.weights if weights else ():
        missing = set(check_fits(solver.net, path)) - fresh
        if missing:
            raise WeightsError(
                f"{path}: no weights for the layers {', '.join(sorted(missing))}; the model cannot "
                "start from it"
            )
        solver.net.copy_from(path)
    return solver, parameters


class Interruption:
    """Within the block the first SIGINT or SIGTERM only sets ``number``; a second one acts."""

    def __init__(self, say):
        self.say = say

    def __enter__(self):
        self.number = None
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind, value, trace):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.number = number
        self.__exit__(None, None, None)
        self.say("finishing the iteration, then a snapshot; once more to stop without one")


class Validation:
    """Overall IoU on some images of the val split, with the weights of the net in training."""

    def __init__(self, images, dataset, deploy, net, gpu=None):
        self.images, self.dataset = images, dataset
        self.segmenter = Segmenter(deploy, None, dataset.vocabulary, gpu)
        self.segmenter.net.share_with(net)

    def overall_iou(self, stopped=lambda: False):
        """Score every expression of the images; returns overall IoU in [0, 1].

        None when no image could be read, or ``stopped()`` came true before the end.
        """
        measured = []
        for image in self.images:
            if stopped():
                return None
            try:
                pixels, masks = self.dataset.pixels_and_masks(image.id, image.path)
            except ImageError:
                continue  # preparing and the data layer report it
            pairs = [(masks[r.id], e) for r in image.regions for e in r.expressions]
            scores = self.segmenter.scores(pixels, [expression for _, expression in pairs])
            measured += [areas(score > 0, mask) for (mask, _), score in zip(pairs, scores)]
        return summarize(*zip(*measured))["overall_iou"] if measured else None


class Iterations:
    """Runs a solver iteration by iteration.

    What an iteration does depends on the solver's state and its number alone: the data layer is
    positioned by whoever restores a snapshot, and Caffe's random numbers start anew every time.
    """

    def __init__(self, solver, seed):
        self.solver, self.seed = solver, seed
        self.net, self.data_layer = solver.net, solver.net.layers[0]
        self.draws = any(layer.type == "Dropout" for layer in self.net.layers)
        self.passes = []
        """Loss and samples of the batches of the last iteration, iter_size of them."""

        last = len(self.net.layers) - 1
        self.net.after_forward(lambda layer: layer == last and self._note())

    def _note(self):
        self.passes.append((float(self.net.blobs["loss"].data), self.data_layer.samples))

    def step(self):
        """Run an iteration and return its loss; raises TrainingError when that is not finite."""
        self.passes.clear()
        if self.draws:
            random = np.random.RandomState([self.seed, self.solver.iter])
            caffe.set_random_seed(int(random.randint(2**31)))
        self.solver.step(1)
        loss = np.mean([loss for loss, _ in self.passes])
        self._require(np.isfinite(loss), f"the loss is {loss}")
        return loss

    def check_weights(self):
        """Raise TrainingError when a weight is not finite."""
        for name, blobs in self.net.params.items():
            finite = all(np.isfinite(blob.data).all() for blob in blobs)
            self._require(finite, f"a weight of the layer {name} is not finite")

    def _require(self, finite, trouble):
        if not finite:
            batches = [s for loss, s in self.passes if not np.isfinite(loss)]
            batches = batches or [samples for _, samples in self.passes]
            lines = "".join(f"\n  {sample}" for samples in batches for sample in samples)
            raise TrainingError(
                f"{trouble} at iteration {self.solver.iter}. Lower the learning rate, start from "
                f"other weights, or look at what was in the batch:{lines}"
            )


@contextlib.contextmanager
def explained(solver, snapshots):
    """Say of what ends training within the block what to do, and which snapshot there is."""
    try:
        yield
    except (TrainingError, WorkerError, OSError) as error:
        message = str(error)
        if isinstance(error, WorkerError):
            message += "\nWith that put right, go on with --resume."
        elif isinstance(error, OSError):
            if error.errno not in FULL:
                raise
            where = snapshots.folder if snapshots else "the disk"
            message = f"{where}: {error.strerror}; make room there, then go on with --resume."
        left = snapshots.all() if snapshots else []
        raise TrainingError(
            f"{message}\nTraining stopped at iteration {solver.iter}; " +
            (f"the newest snapshot is {left[-1].name}." if left else "there is no snapshot.")
        ) from error


def train(solver, parameters, name, log, snapshots=None, validation=None, validate_every=0):
    """Run ``solver`` to its last iteration or to an interruption.

    ``name`` is shown, ``log`` a TrainingLog. ``snapshots``, a Snapshots or None, gets one every
    ``parameters.snapshot`` iterations, at a new best validation, at the end, and when SIGINT or
    SIGTERM arrives or a data worker dies; an iteration in progress is finished first. Returns the
    number of the signal that stopped it, or None. Raises TrainingError when loss or weights are not
    finite, when data cannot be had, and when the disk is full.
    """
    iterations, recent, iou = Iterations(solver, parameters.random_seed), [], None
    data_layer, end, saved = iterations.data_layer, parameters.max_iter, solver.iter

    def save():
        nonlocal saved
        if snapshots and solver.iter != saved:
            iterations.check_weights()
            log.sync()
            snapshots.take(solver, iou)
            saved = solver.iter

    with explained(solver, snapshots), Progress(end, name, "it", initial=solver.iter) as progress, \
            Interruption(progress.write) as interruption:
        while solver.iter < end and interruption.number is None:
            began, waited, rate = time.perf_counter(), data_layer.seconds, solver.lr
            try:
                loss = iterations.step()
            except WorkerError:
                save()  # the weights are still those of the iteration before
                raise
            seconds = time.perf_counter() - began
            recent = (recent + [loss])[-SMOOTHING:]
            iou = None
            if validation and (solver.iter % validate_every == 0 or solver.iter == end):
                iou = validation.overall_iou(lambda: interruption.number is not None)
            if iou is not None:
                progress.write(f"{name} iteration {solver.iter}: val overall IoU {iou:.4f}")
            log.add(iteration=solver.iter, loss=loss, rate=rate, seconds=round(seconds, 4),
                    data_seconds=round(data_layer.seconds - waited, 4),
                    val_overall_iou="" if iou is None else iou)
            progress.advance(note=f"loss {np.mean(recent):.4f}, rate {rate:.2g}")
            best = snapshots and iou is not None and iou > snapshots.best(solver.iter)[1]
            if solver.iter % parameters.snapshot == 0 or solver.iter == end or best:
                save()
        save()
    return interruption.number
