"""The choice between one process and those of mpirun."""

from objseg.parallel.ranks import ALONE


def open_ranks(mpi: bool):
    """Return the Ranks of mpirun if ``mpi``, which starts MPI, else this process ALONE."""
    if not mpi:
        return ALONE
    from objseg.parallel.mpi import Ranks

    return Ranks()
