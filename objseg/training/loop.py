"""Training a model with a Caffe solver: progress, validation, snapshots, clean interruption."""

import contextlib
import errno
import os
import signal
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.caffe.devices import use_device
from objseg.caffe.names import LOSS, LSTM, data_layer
from objseg.caffe.prototxt import prototxt
from objseg.caffe.weights import (
    WeightsError,
    check_finite,
    check_fits,
    layer_not_finite,
    set_forget_bias,
)
from objseg.data.images import ImageError
from objseg.errors import UserError
from objseg.files import Progress, write_text
from objseg.methods.ours import Segmenter
from objseg.metrics import areas, iou
from objseg.parallel.prefetch import WorkerError
from objseg.parallel.ranks import ALONE, RanksError

SMOOTHING = 20
"""Iterations that the displayed loss is averaged over."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A disk without room, and limits on what a user or a process may write."""


class TrainingError(UserError):
    """Training that cannot go on; the message says what to do."""


def make_solver(solver, net, fresh, prefix, gpu=None, weights=True):
    """Build the Caffe solver of the text ``solver`` for the CPU (``gpu`` None) or a GPU.

    ``net`` is the NetParameter of the net that the text names; the batch may be another.

    The text stays the single source of the values. Overridden are only the mode and Caffe's own
    test phase and snapshots, which :func:`train` replaces; ``prefix`` is that of
    :class:`objseg.training.snapshots.Snapshots`. Its starting weights are checked before
    Caffe reads them: only the layers ``fresh`` may be missing and start from their fillers.
    ``weights`` False leaves them out, for a snapshot that will be restored.
    Returns (solver, its SolverParameter, with the net as net_param).
    """
    use_device(gpu)
    parameters = text_format.Parse(solver, caffe_pb2.SolverParameter())
    parameters.ClearField("net")
    parameters.net_param.CopyFrom(net)
    used = caffe_pb2.SolverParameter()
    used.CopyFrom(parameters)
    used.solver_mode = used.CPU if gpu is None else used.GPU
    for field in ("weights", "test_iter", "test_interval", "snapshot", "display"):
        used.ClearField(field)
    used.snapshot_prefix = prefix
    if gpu is not None:
        used.device_id = gpu
    run_file = Path(f"{prefix}_run.prototxt")
    write_text(run_file, prototxt(used))
    solver = caffe.get_solver(str(run_file))
    # A fresh LSTM, too, starts with its forget bias; starting weights bring theirs.
    if LSTM in solver.net.params:
        set_forget_bias(solver.net.params[LSTM][1].data)
    for path in parameters.weights if weights else ():
        missing = set(check_fits(solver.net, path)) - fresh
        if missing:
            raise WeightsError(
                f"{path}: no weights for the layers {', '.join(sorted(missing))}; the model cannot "
                "start from it"
            )
        solver.net.copy_from(path)
        check_finite(solver.net, path)
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
    """Overall IoU on some images of the val split, with the weights of the net in training.

    The ``ranks`` share the work.
    """

    def __init__(self, images, dataset, deploy, net, gpu=None, ranks=ALONE):
        self.images, self.dataset, self.ranks = images[ranks.rank::ranks.size], dataset, ranks
        self.segmenter = Segmenter(deploy, None, dataset.vocabulary, gpu)
        self.segmenter.net.share_with(net)

    def overall_iou(self, stopped=lambda: False):
        """Score every expression of the images; returns overall IoU in [0, 1].

        None when no image could be read, or ``stopped()`` came true before the end.
        """
        measured, given_up = np.zeros(2, np.int64), False
        for image in self.images:
            if stopped():
                given_up = True
                break
            try:
                pixels, masks = self.dataset.pixels_and_masks(image)
            except ImageError:
                continue  # preparing and the data layer report it
            pairs = [(masks[r.id], e) for r in image.regions for e in r.expressions]
            scores = self.segmenter.scores(pixels, [expression for _, expression in pairs])
            for (mask, _), score in zip(pairs, scores):
                measured += areas(score > 0, mask)
        intersection, union, given_up = self.ranks.total(np.append(measured, given_up))
        return float(iou(intersection, union)) if union and not given_up else None


class Iterations:
    """Runs a solver iteration by iteration.

    What an iteration does depends on the solver's state and its number alone: the data layer is
    positioned by whoever restores a snapshot, and Caffe's random numbers start anew every time.
    """

    def __init__(self, solver, seed, ranks=ALONE):
        self.solver, self.seed, self.ranks = solver, seed, ranks
        self.net, self.data_layer = solver.net, data_layer(solver.net)
        self.draws = any(layer.type == "Dropout" for layer in self.net.layers)
        self.passes = []
        """Loss and samples of the batches of the last iteration, iter_size of them."""

        last = len(self.net.layers) - 1
        self.net.after_forward(lambda layer: layer == last and self._note())

    def _note(self):
        self.passes.append((float(self.net.blobs[LOSS].data), self.data_layer.samples))

    def step(self):
        """Run an iteration and return its loss; raises TrainingError when that is not finite."""
        self.passes.clear()
        if self.draws:
            number = self.solver.iter * self.ranks.size + self.ranks.rank
            random = np.random.RandomState([self.seed, number])
            caffe.set_random_seed(int(random.randint(2**31)))
        self.solver.step(1)
        loss = np.mean([loss for loss, _ in self.passes])
        self._require(np.isfinite(loss), f"the loss is {loss}")
        return loss

    def check_weights(self):
        """Raise TrainingError when a weight is not finite."""
        name = layer_not_finite(self.net)
        self._require(name is None, f"a weight of the layer {name} is not finite")

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
    except (TrainingError, RanksError, WorkerError, OSError) as error:
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


def train(
    solver, parameters, name, log, snapshots=None, validation=None, validate_every=0, ranks=ALONE
):
    """Run ``solver`` to its last iteration or to an interruption.

    ``name`` is shown, ``log`` a TrainingLog. ``snapshots``, a Snapshots or None, gets one every
    ``parameters.snapshot`` iterations, at a new best validation, at the end, and when SIGINT or
    SIGTERM arrives or a data worker dies; an iteration in progress is finished first. All ``ranks``
    call this together, and the first of them speaks and writes. Returns the number of the signal
    that stopped it, or None. Raises TrainingError when loss or weights are not finite, when data
    cannot be had, when the disk is full, and when a rank is lost.
    """
    iterations, recent = Iterations(solver, parameters.random_seed, ranks), []
    data_layer, end, saved = iterations.data_layer, parameters.max_iter, solver.iter
    best, found, signalled = snapshots.best(solver.iter)[1] if snapshots else 0, None, None

    def save(checked=True):
        nonlocal saved
        if checked:
            iterations.check_weights()
            ranks.check_alike()
        if ranks.rank == 0 and snapshots and solver.iter != saved:
            log.sync()
            snapshots.take(solver, found)
        saved = solver.iter

    with contextlib.ExitStack() as stack:
        stack.enter_context(explained(solver, snapshots))
        stream = None if ranks.rank == 0 else stack.enter_context(open(os.devnull, "w"))
        progress = stack.enter_context(
            Progress(end, name, "it", initial=solver.iter, stream=stream)
        )
        interruption = stack.enter_context(Interruption(progress.write))
        ranks.average_gradients(solver, parameters, lambda: interruption.number)
        while solver.iter < end:
            signalled = ranks.first(interruption.number)
            if signalled is not None:
                break
            began, waited, rate = time.perf_counter(), data_layer.seconds, solver.lr
            try:
                loss = iterations.step()
            except (WorkerError, RanksError):
                save(checked=False)  # the weights are still those of the iteration before
                raise
            loss = ranks.mean(loss)
            seconds = time.perf_counter() - began
            recent = (recent + [loss])[-SMOOTHING:]
            found = None
            if validation and (solver.iter % validate_every == 0 or solver.iter == end):
                found = validation.overall_iou(lambda: interruption.number is not None)
            if found is not None:
                progress.write(f"{name} iteration {solver.iter}: val overall IoU {found:.4f}")
            if ranks.rank == 0:
                log.add(iteration=solver.iter, loss=loss, rate=rate, seconds=round(seconds, 4),
                        data_seconds=round(data_layer.seconds - waited, 4),
                        val_overall_iou="" if found is None else found)
            progress.advance(note=f"loss {np.mean(recent):.4f}, rate {rate:.2g}")
            better = found is not None and found > best
            best = found if better else best
            if solver.iter % parameters.snapshot == 0 or solver.iter == end or better:
                save()
        if solver.iter != saved:
            save()
    return signalled
