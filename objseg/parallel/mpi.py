"""Training and evaluating in many processes, over MPI.

In training every rank computes a part of the batch, and the gradients are averaged before the
solver uses them, so that N ranks with a batch of B / N each take the steps of one rank with a batch
of B. A layer's gradients travel while backward is at the layers below.
"""

import contextlib
import hashlib
import sys
import time
import traceback

import numpy as np
from mpi4py import MPI

from objseg.errors import RanksError, is_for_user

POLL = 0.0005
"""Seconds between two looks at gradients on their way; MPI would spin on a core of its own."""

PATIENCE = 600
"""Seconds to wait for the gradients of the other ranks before one is taken for lost."""

PARTING = 5
"""Seconds to wait for them once a signal has come, as mpirun sends when a rank has died."""


class Ranks:
    """The processes that mpirun started; ``rank`` is this one's number of ``size``.

    ``local_rank`` is the number among those of the same host, for the choice of a GPU.
    """

    def __init__(self, communicator=MPI.COMM_WORLD):
        self.communicator, self.average = communicator, None
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        local = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank = local.Get_rank()
        local.Free()

    @contextlib.contextmanager
    def together(self):
        """Return a context that ends all ranks when an error leaves it on one of them.

        A UserError is printed as one line, every other error with its traceback.
        """
        try:
            yield
        except BaseException as error:
            if self.rank > 0:
                time.sleep(2)  # what all ranks meet, such as a missing file, the first one reports
            if is_for_user(error):
                print(f"error: rank {self.rank}: {error}", file=sys.stderr, flush=True)
            else:
                traceback.print_exc()
            self.communicator.Abort(1)

    def end(self):
        """End MPI, once all ranks are here: what one of them does next keeps no other waiting."""
        MPI.Finalize()

    def wait(self):
        """Wait until every rank has called this."""
        self.communicator.Barrier()

    def share_weights(self, net):
        """Give every rank the weights of rank 0."""
        for blobs in net.params.values():
            for blob in blobs:
                self.communicator.Bcast(blob.data)

    def check_alike(self):
        """Raise RanksError unless the ranks' learnt weights are equal to the last bit.

        Also gives every rank the statistics of batch normalisation of rank 0, since each has those
        of its own batches.
        """
        digest = hashlib.sha256()
        for blob in self.average.learnt:
            digest.update(blob.data)
        if len(set(self.communicator.allgather(digest.digest()))) > 1:
            raise RanksError(
                "the weights of the ranks differ, though their gradients were averaged: do all "
                "hosts have the same processors and libraries?"
            )
        for blob in self.average.statistics:
            self.communicator.Bcast(blob.data)

    def mean(self, value):
        """Return the mean of all ranks' ``value`` (float)."""
        return self.communicator.allreduce(value) / self.size

    def total(self, values):
        """Return the sum of all ranks' ``values``, a numpy array."""
        return self.communicator.allreduce(values)

    def first(self, value):
        """Return the ``value`` of the first rank where it is not None, or None."""
        values = self.communicator.allgather(value)
        return next((value for value in values if value is not None), None)

    def spread(self, work, tasks):
        """Yield ``work(*task)`` of every one of ``tasks``, in any order; all ranks compute.

        Rank 0 calls this, and the others :meth:`assist`.
        """
        tasks = self.communicator.bcast(tasks)
        mine = tasks[:: self.size]
        coming = len(tasks) - len(mine)
        for task in mine:
            yield work(*task)
            while coming and self.communicator.Iprobe():
                coming -= 1
                yield self.communicator.recv()
        for _ in range(coming):
            while not self.communicator.Iprobe():
                time.sleep(POLL)
            yield self.communicator.recv()

    def assist(self, work):
        """Compute this rank's share of the tasks that rank 0 spreads."""
        for task in self.communicator.bcast(None)[self.rank :: self.size]:
            self.communicator.send(work(*task), 0)

    def average_gradients(self, solver, frozen, passes, signal):
        """Average the gradients of ``solver`` over the ranks from now on, in every iteration.

        ``frozen`` are the names of the layers that are not learnt, ``passes`` the batches of an
        iteration (iter_size), and ``signal()`` is not None once this process has been asked to end.
        The solver's ``step`` raises RanksError when the others do not answer.
        """
        self.average = GradientAverage(self.communicator, solver, frozen, passes, signal)


class GradientAverage:
    """Averages a solver's gradients over the ranks, for :meth:`Ranks.average_gradients`.

    ``learnt`` are the blobs whose gradients it averages, ``statistics`` those of batch
    normalisation, which have none.
    """

    def __init__(self, communicator, solver, frozen, passes, signal):
        net = solver.net
        self.communicator, self.passes, self.signal = communicator, passes, signal
        self.blobs, self.statistics = {}, []
        for index, layer in enumerate(net.layers):
            if layer.type == "BatchNorm":
                self.statistics += layer.blobs
            elif net._layer_names[index] not in frozen:
                self.blobs[index] = list(layer.blobs)
        self.learnt = [blob for blobs in self.blobs.values() for blob in blobs]
        self.last, self.begun, self.requests = len(net.layers) - 1, 0, []
        net.after_backward(self.send)
        solver.add_callback(lambda: None, self.receive)

    def send(self, layer):
        """Start to add up the gradients of a layer, of index ``layer``, that has gone backward."""
        if layer == self.last:
            self.begun += 1
        if self.begun == self.passes:
            for blob in self.blobs.get(layer, ()):
                self.requests.append(
                    self.communicator.Iallreduce(MPI.IN_PLACE, blob.diff, MPI.SUM)
                )
            MPI.Request.Testall(self.requests)  # MPI moves data only while it is called

    def receive(self):
        """Wait for the sums and divide them, before the solver looks at them."""
        until, parting = time.monotonic() + PATIENCE, None
        while not MPI.Request.Testall(self.requests):
            now = time.monotonic()
            if parting is None and self.signal() is not None:
                parting = now + PARTING
            if now > (until if parting is None else min(until, parting)):
                raise RanksError(
                    "no answer from another rank: it has died, or its host or network has; go on "
                    "with --resume"
                )
            time.sleep(POLL)
        self.requests, self.begun = [], 0
        for blob in self.learnt:
            np.divide(blob.diff, self.communicator.Get_size(), out=blob.diff)
