"""Files that are whole or absent, and progress that reads well on a terminal and in a log."""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TextIO

from tqdm import tqdm

from objseg.errors import ENVIRONMENT, UserError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "objseg"
"""A folder of the user's for what can be made again; tools/caffe-env has the same."""

SHIPPED = Path(__file__).resolve().with_name("shipped")
"""What an installed package has of the repository, in the same places; pyproject.toml lists it."""

INSTALLED = SHIPPED.is_dir()

REPOSITORY = SHIPPED if INSTALLED else SHIPPED.parents[1]
"""The root of the files that come with the project; only read where it is installed."""

FETCHED = CACHE if INSTALLED else REPOSITORY
"""The root of the files that are fetched."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    Missing folders are made. The file is synced before the rename, so that after a crash ``path``
    is the old file or the new one, never a part of it. When the block raises, the temporary file
    is removed and ``path`` is untouched. The temporary name keeps the ending of ``path``, which
    libraries that choose a format by ending need. The OSError of a full disk names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in ENVIRONMENT and error.filename is None:
            error.filename = str(path)  # write() on a full disk does not know the name
        raise


def sync_folder(path: str | Path) -> None:
    """Make sure that the names in a folder survive a crash: what was renamed and removed so far."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(file: IO, refusal: str) -> None:
    """Lock an open ``file`` for this process, until it is closed or the process has ended.

    Raises UserError with the text ``refusal`` where another process has locked it. On a file
    system without locks it does nothing.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise UserError(refusal) from error
    except OSError:
        pass


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically.

    A byte of a folder's name that is not UTF-8 is written as an escape, such as ``\\udcfc``.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_table(path: str | Path, columns: Iterable[str], what: str) -> list[tuple[int, dict]]:
    """Read a CSV file in UTF-8 whose first line names the columns.

    Returns (line number, {column: text}) of every other line. Raises UserError, which calls the
    content ``what``, for a missing or broken file, one without one of ``columns`` or without rows,
    and a row of another number of columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            named = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {what}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if missing := [name for name in columns if name not in named]:
        raise UserError(
            f"{path}: no column {', '.join(missing)}; the first line must name the columns "
            f"{', '.join(columns)}, and names {', '.join(named) or 'nothing'}"
        )
    if not rows:
        raise UserError(f"{path}: holds nothing below its first line; expected {what}")
    for line, row in rows:
        if None in row or None in row.values():
            raise UserError(
                f"{path}, line {line}: another number of columns than in the first line"
            )
    return rows


def digest(value) -> str:
    """Return the sha256 of a plain value of JSON, whatever the order of the keys in its dicts."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256(path: str | Path) -> str:
    """Return the checksum of a file as hexadecimal digits."""
    return checksum(path, "sha256")


def checksum(path: str | Path, algorithm: str) -> str:
    """Return the checksum of a file as hexadecimal digits; hashlib knows the ``algorithm``."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


class Progress(tqdm):
    """Progress of long work: a bar with rate and ETA on a terminal, plain lines elsewhere.

    Example::

        with Progress(len(images), "prepare", "image") as progress:
            for image in images:
                ...
                progress.advance()

    Parameters: ``total`` steps (0 if unknown), ``name`` of the work, ``unit`` of a step,
    ``initial`` steps done by an earlier run, and ``interval``, the least number of seconds between
    two plain lines.
    """

    monitor_interval = 0  # no thread of tqdm's: workers are forked while it runs
    line = "{desc}: {n_fmt}/{total_fmt} {unit}, {rate_noinv_fmt}, {remaining} left{postfix}"

    def __init__(
        self, total: int, name: str, unit: str = "it", initial: int = 0, interval: float = 10.0,
        stream: TextIO | None = None,
    ):
        stream = stream or sys.stderr
        self.plain = not stream.isatty()
        if self.plain:
            layout = {"bar_format": self.line, "mininterval": interval, "miniters": 1}
        else:
            layout = {"dynamic_ncols": True}
        super().__init__(
            total=total or None, desc=name, unit=unit, initial=initial, file=stream, **layout
        )

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count ``steps`` more as done; ``note`` is shown behind the figures."""
        if note is not None:
            self.set_postfix_str(note, refresh=False)
        self.update(steps)

    def write(self, message: str) -> None:
        """Print a line of its own without tearing the bar."""
        if self.plain:
            print(message, file=self.fp, flush=True)
        else:
            super().write(message, file=self.fp)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state, as tqdm asks for: at the start, now and then, and at the end."""
        if not self.plain:
            super().display(msg, pos)
        elif self.disable:  # at the end, where tqdm adds the line's end
            self.fp.write(str(self))
        elif self.n > self.initial:
            self.fp.write(f"{self}\n")
            self.fp.flush()
