"""Files that are whole or absent, and progress that reads well on a terminal and in a log."""

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    Missing folders are made. The file is synced before the rename, so that after a crash ``path``
    is the old file or the new one, never a part of it. When the block raises, the temporary file
    is removed and ``path`` is untouched. The temporary name keeps the ending of ``path``, which
    libraries that choose a format by ending need.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
    )
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def sync_folder(path):
    """Make sure that the names in a folder survive a crash: what was renamed and removed so far."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_current(path, source):
    """Whether the file ``path`` is there and not older than ``source``, which it was made from."""
    try:
        return os.stat(path).st_mtime >= os.stat(source).st_mtime
    except FileNotFoundError:
        return False


def write_text(path, text):
    """Write ``text`` (str) to ``path`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path):
    """Checksum of a file as hexadecimal digits."""
    return checksum(path, "sha256")


def checksum(path, algorithm):
    """Checksum of a file as hexadecimal digits; ``algorithm`` is a name that hashlib knows."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Progress:
    """Progress of long work: a bar with rate and ETA on a terminal, plain lines elsewhere.

    Example::

        with Progress(len(images), "prepare", "image") as progress:
            for image in images:
                ...
                progress.advance()

    Parameters: ``total`` steps, ``name`` of the work, ``unit`` of a step, ``initial`` steps done by
    an earlier run, and ``interval``, the least number of seconds between two plain lines.
    """

    def __init__(self, total, name, unit="it", initial=0, interval=10.0, stream=None):
        self.stream = stream or sys.stderr
        self.total, self.name, self.unit, self.initial = total, name, unit, initial
        self.done = initial
        self.interval = interval
        self.started = self.printed = time.monotonic()
        self.note = ""
        self.bar = None
        if self.stream.isatty():
            self.bar = tqdm(
                total=total, desc=name, unit=unit, initial=initial, file=self.stream,
                dynamic_ncols=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.bar is not None:
            self.bar.close()
        else:
            self._print_line()

    def advance(self, steps=1, note=None):
        """Count ``steps`` more as done; ``note`` (str) is shown behind the figures."""
        self.done += steps
        if note is not None:
            self.note = note
        if self.bar is not None:
            if note is not None:
                self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(steps)
        elif time.monotonic() - self.printed >= self.interval:
            self._print_line()

    def write(self, message):
        """Print a line of its own without tearing the bar."""
        if self.bar is not None:
            self.bar.write(message, file=self.stream)
        else:
            print(message, file=self.stream, flush=True)

    def _print_line(self):
        self.printed = time.monotonic()
        elapsed = self.printed - self.started
        rate = (self.done - self.initial) / elapsed if elapsed > 0 else 0.0
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        note = f", {self.note}" if self.note else ""
        print(
            f"{self.name}: {self.done}/{self.total} {self.unit}, "
            f"{rate:.2f} {self.unit}/s{left}{note}",
            file=self.stream, flush=True,
        )
