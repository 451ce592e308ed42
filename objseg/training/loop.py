"""Training a model with a Caffe solver: progress, validation, snapshots, clean interruption."""

import contextlib
import errno
import os
import time

import caffe
import numpy as np

from objseg.caffe.names import LOSS, data_layer
from objseg.caffe.weights import layer_not_finite
from objseg.errors import RanksError, UserError
from objseg.files import Progress
from objseg.parallel.prefetch import WorkerError
from objseg.parallel.ranks import ALONE
from objseg.training.cost import frozen_layers
from objseg.training.interruption import Interruption

SMOOTHING = 20
"""Iterations that the displayed loss is averaged over."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A disk without room, and limits on what a user or a process may write."""


class TrainingError(UserError):
    """Training that cannot go on; the message says what to do."""


def train(
    solver, parameters, name: str, log, snapshots=None, validation=None, ranks=ALONE
) -> int | None:
    """Run ``solver`` to its last iteration or to an interruption.

    ``parameters`` are the solver's SolverParameter, ``name`` is shown, ``log`` is a TrainingLog.
    ``snapshots``, a Snapshots or None, gets one every ``parameters.snapshot`` iterations, at a new
    best result of the ``validation`` (a Validation or None), at the end, and when SIGINT or SIGTERM
    arrives or data fail; an iteration in progress is finished first. All ``ranks`` call
    this together, and the first of them speaks and writes.

    Returns the number of the signal that stopped it, or None. Raises TrainingError when loss or
    weights are not finite, when data cannot be had, when the disk is full, and when a rank is lost.
    """
    run = Run(solver, parameters.random_seed, log, snapshots, ranks)
    end, recent = parameters.max_iter, []
    with contextlib.ExitStack() as stack:
        stack.enter_context(explained(solver, snapshots))
        stream = None if ranks.rank == 0 else stack.enter_context(open(os.devnull, "w"))
        progress = stack.enter_context(
            Progress(end, name, "it", initial=solver.iter, stream=stream)
        )
        interruption = stack.enter_context(Interruption(progress.write))
        ranks.average_gradients(
            solver, frozen_layers(parameters.net_param), parameters.iter_size,
            lambda: interruption.number,
        )
        while solver.iter < end:
            signalled = ranks.first(interruption.number)
            if signalled is not None:
                run.save()
                return signalled
            line = run.iterate()
            if validation and (solver.iter % validation.every == 0 or solver.iter == end):
                run.validate(validation, lambda: interruption.number is not None)
            if run.iou is not None:
                progress.write(f"{name} iteration {solver.iter}: val overall IoU {run.iou:.4f}")
            if ranks.rank == 0:
                log.add(**line, val_overall_iou="" if run.iou is None else run.iou)
            recent = (recent + [line["loss"]])[-SMOOTHING:]
            progress.advance(note=f"loss {np.mean(recent):.4f}, rate {line['rate']:.2g}")
            if run.improved() or solver.iter % parameters.snapshot == 0 or solver.iter == end:
                run.save()
    return None


class Run:
    """A training in progress: its solver, and what was measured and saved so far.

    What an iteration does depends on the solver's state and its number alone: the data layer is
    positioned by whoever restores a snapshot, and Caffe's random numbers start anew every time.
    ``passes`` are the loss and the samples of each of the iter_size batches of the last iteration,
    ``iou`` is the validation's result after it, None where it was not measured.
    """

    def __init__(self, solver, seed, log, snapshots, ranks):
        self.solver, self.seed, self.log, self.ranks = solver, seed, log, ranks
        self.snapshots, self.saved, self.iou = snapshots, solver.iter, None
        self.best = snapshots.best(solver.iter)[1] if snapshots else 0
        self.net, self.data_layer = solver.net, data_layer(solver.net)
        self.draws = any(layer.type == "Dropout" for layer in self.net.layers)
        self.passes = []
        last = len(self.net.layers) - 1
        self.net.after_forward(lambda layer: layer == last and self._note())

    def _note(self):
        self.passes.append((float(self.net.blobs[LOSS].data), self.data_layer.samples))

    def iterate(self) -> dict:
        """Run an iteration; returns its line of the log, without the validation.

        Where the data or another rank fail, a snapshot of the iteration before is taken first.
        """
        began, waited, rate = time.perf_counter(), self.data_layer.seconds, self.solver.lr
        try:
            loss = self.step()
        except (WorkerError, RanksError):
            self.save(checked=False)  # the weights are still those of the iteration before
            raise
        self.iou, loss = None, self.ranks.mean(loss)
        return dict(
            iteration=self.solver.iter, loss=loss, rate=rate,
            seconds=round(time.perf_counter() - began, 4),
            data_seconds=round(self.data_layer.seconds - waited, 4),
        )

    def validate(self, validation, stopped):
        """Measure ``iou``; where that fails, a snapshot is taken first, without the result."""
        try:
            self.iou = validation.overall_iou(stopped)
        except UserError:
            self.save(checked=False)
            raise

    def step(self) -> float:
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

    def improved(self) -> bool:
        """Return whether ``iou`` is better than the best so far, and remember it if so."""
        better = self.iou is not None and self.iou > self.best
        if better:
            self.best = self.iou
        return better

    def save(self, checked=True):
        """Take a snapshot, unless there is one of this iteration.

        Raises TrainingError where a weight is not finite and RanksError where ranks differ, unless
        ``checked`` is False.
        """
        if self.solver.iter == self.saved:
            return
        if checked:
            name = layer_not_finite(self.net.params)
            self._require(name is None, f"a weight of the layer {name} is not finite")
            self.ranks.check_alike()
        if self.ranks.rank == 0 and self.snapshots:
            self.log.sync()
            self.snapshots.take(self.solver, self.iou)
        self.saved = self.solver.iter

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
    """Re-raise errors of the block as TrainingError, with what to do and the newest snapshot."""
    try:
        yield
    except (UserError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError):
            if error.errno not in FULL:
                raise
            where = snapshots.folder if snapshots else "the disk"
            message = f"{where}: {error.strerror}; make room there, then go on with --resume."
        elif not isinstance(error, (TrainingError, RanksError)):  # of the data
            message += "\nWith that put right, go on with --resume."
        left = snapshots.all() if snapshots else []
        raise TrainingError(
            f"{message}\nTraining stopped at iteration {solver.iter}; " +
            (f"the newest snapshot is {left[-1].name}." if left else "there is no snapshot.")
        ) from error
