"""The processes that train or evaluate together: one alone, or those of mpirun (mpi.py)."""

import contextlib


class Alone:
    """Stands for :class:`objseg.parallel.mpi.Ranks` where there is one process, without MPI.

    With nobody to wait for, or to exchange anything with, its methods do nothing or return the
    value they are given.
    """

    rank, size, local_rank = 0, 1, 0

    def together(self):
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    def end(self):
        """Do nothing."""

    def wait(self):
        """Do nothing."""

    def share_weights(self, net):
        """Do nothing."""

    def check_alike(self):
        """Do nothing."""

    def average_gradients(self, solver, frozen, passes, signal):
        """Do nothing: the gradients of one process are the mean."""

    def mean(self, value):
        """Return ``value``."""
        return value

    def total(self, values):
        """Return ``values``."""
        return values

    def first(self, value):
        """Return ``value``."""
        return value


ALONE = Alone()


def open_ranks(mpi: bool):
    """Return the Ranks of mpirun if ``mpi``, which starts MPI, else this process ALONE."""
    if not mpi:
        return ALONE
    from objseg.parallel.mpi import Ranks

    return Ranks()
