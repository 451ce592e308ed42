"""The processes that train or evaluate together: one alone, or those of mpirun (mpi.py)."""

import contextlib

from objseg.errors import UserError


class RanksError(UserError):
    """Ranks that cannot go on together; the message says what to do."""


class Alone:
    """:class:`objseg.parallel.mpi.Ranks` of one process without MPI: nothing is exchanged."""

    rank, size, local_rank = 0, 1, 0

    def together(self):
        """Nobody else has to be ended."""
        return contextlib.nullcontext()

    def end(self):
        """Nobody else has to end."""

    def wait(self):
        """Nobody is waited for."""

    def share_weights(self, net):
        """The weights are there."""

    def check_alike(self):
        """There is nothing to compare."""

    def average_gradients(self, solver, frozen, passes, signal):
        """The gradients are the mean."""

    def mean(self, value):
        """The only value is the mean."""
        return value

    def total(self, values):
        """The only values are the sum."""
        return values

    def first(self, value):
        """The only value is the first."""
        return value


ALONE = Alone()
