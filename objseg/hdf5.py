"""HDF5 files that are whole or absent."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import h5py

from objseg.files import atomic_path


@contextlib.contextmanager
def atomic_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield an empty h5py.File that becomes the file ``path`` when the block succeeds.

    It is made in memory, since on a full disk HDF5 prints and raises what only its makers
    understand. Raises OSError, as any writing does.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
