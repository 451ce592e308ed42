"""The results of an evaluation so far, which an evaluation of the same thing goes on from."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from objseg.data.dataset import Sample
from objseg.files import digest, lock

COLUMNS = ("intersection", "union", "xmin", "ymin", "xmax", "ymax")
"""The numbers that a journal keeps of every sample."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other evaluations out of ``folder`` during the block; raise UserError if one is there.

    The file ``lock`` stays, and means nothing once the process has ended, however that was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as file:
        lock(file, f"{folder}: another evaluation writes there; wait for it, stop it, or choose "
                   "another folder with --out")
        yield


class Journal:
    """One method's results, a JSON line per image, appended as they are found.

    ``found`` maps an image id to a list of rows of ``COLUMNS``, in the order of its samples, and
    ``tallies`` to the Counter of what did not go as usual. An image whose line is damaged or
    unfinished, as by a killed process, is scored again. The file's name depends on ``identity``,
    the dict that its first line holds.
    """

    def __init__(self, folder: Path, identity: dict):
        folder.mkdir(parents=True, exist_ok=True)
        self.identity, self.found, self.tallies = identity, {}, {}
        self._file = open(folder / f"{identity['method']}-{digest(identity)[:16]}.jsonl", "ab+")
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        for line in content[:whole].splitlines():
            self._read(line)
        if not whole:
            self._write(identity)

    def holds(self, samples: list[Sample]) -> bool:
        """Say whether all ``samples``, the first ones of an image, have been scored."""
        return len(self.found.get(samples[0].image.id, ())) >= len(samples)

    def append(self, image_id: str, found: list, tally: Counter) -> None:
        """Add the results on an image; they reach the file before this returns."""
        self.found[image_id], self.tallies[image_id] = found, Counter(tally)
        self._write({"image": image_id, "found": found, "tally": tally})

    def _read(self, line):
        try:
            record = json.loads(line)
            image_id, found, tally = record["image"], record["found"], Counter(record["tally"])
            if all(len(row) == len(COLUMNS) for row in found):
                self.found[image_id], self.tallies[image_id] = found, tally
        except (ValueError, KeyError, TypeError):  # the identity's line, or a damaged one
            pass

    def _write(self, record):
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._file.close()
