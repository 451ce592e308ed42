"""Pickle files from strangers: containers, texts and numbers are read, and nothing is run."""

import pickle
from pathlib import Path
from typing import Any

from objseg.data.raw import AnnotationError, decode


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that knows no class and no function, so that a file cannot call one."""

    def find_class(self, module: str, name: str) -> Any:
        """Raise UnpicklingError."""
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, and only lists, dicts, texts and numbers are read"
        )


def read_pickle(path: Path) -> Any:
    """Read a pickle file of Python 2 or 3 that holds plain values.

    The texts of Python 2 are bytes; they come back as Latin-1, see :func:`text`. Raises
    AnnotationError for a file that is missing, is damaged, or asks for a class or a function: that
    is how a pickle runs the code of whoever wrote it.
    """
    try:
        with open(path, "rb") as file:
            return _PlainUnpickler(file, encoding="latin-1").load()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle makes load raise nearly anything
        raise AnnotationError(
            f"{path}: not a pickle file of plain values ({error or type(error).__name__})"
        ) from error


def text(value: str) -> str:
    """Return a text of :func:`read_pickle` with bytes of UTF-8 decoded, if it holds such."""
    try:
        return decode(value.encode("latin-1"))[0]
    except UnicodeEncodeError:  # a Unicode text already
        return value
