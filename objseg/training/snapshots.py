"""The snapshots of a run in their folder: written whole or not at all, chosen, rotated, moved.

Caffe cannot be let write to the disk: it aborts the process when that is full, and overlooks it for
the last bytes of a file. So its snapshot_prefix is in a temporary folder, where each file that it
is about to write is a symbolic link to /proc/self/fd/N, an anonymous file in memory
(memfd_create). Caffe opens the link and writes into memory, as much as the snapshot is large. Then
Python, whose errors are exceptions, copies that to temporary files in the folder, syncs them and
renames them. The manifest is renamed first: whatever is left by a kill between the renames has one,
and is recognised as a snapshot of tools/train.py that is not whole.
"""

import contextlib
import itertools
import logging
import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from objseg.files import atomic_path, lock, sha256, sync_folder
from objseg.training.fingerprint import differences
from objseg.training.snapshot import (
    ENDINGS,
    Snapshot,
    SnapshotError,
    learned_net,
    manifest_text,
)

logger = logging.getLogger(__name__)


class OtherRunError(SnapshotError):
    """Snapshots that this run cannot go on from; ``found`` says why, without advice."""

    def __init__(self, found: str, advice: str):
        super().__init__(f"{found}: {advice}")
        self.found = found


class Snapshots:
    """The snapshots of one ``model`` in ``folder``: MODEL_iter_N.caffemodel, .solverstate, .json.

    ``run`` is the fingerprint of the run that takes them. ``origin``, set before the first is
    taken, says what whoever uses the weights has to know: {"vocabulary": sha256 of the words file,
    "convnet": source of the maps of the convolutions that training read or None, see
    :class:`objseg.convnet.reader.ConvnetReader`, "images" and "expressions": what the data set is
    made of, see :class:`objseg.data.about.About`}. The newest ``keep`` of the snapshots stay, and
    the best by validation.
    """

    def __init__(self, folder: Path, model: str, run: dict | None = None, keep: int = 3):
        self.folder, self.model, self.run, self.keep = Path(folder), model, run, keep
        self.origin = {}

    @cached_property
    def prefix(self) -> str:
        """The solver's snapshot_prefix, in a folder that goes with this object."""
        self._staging = tempfile.TemporaryDirectory(prefix="snapshot-")
        return f"{self._staging.name}/{self.model}"

    def claim(self):
        """Lock the model in this folder for this process, until it ends.

        Raises UserError where another process is training it there. The file MODEL.lock stays
        and means nothing once its process has ended, however that was.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / f"{self.model}.lock", "a")
        lock(self._lock, f"{self.folder}: another process is training {self.model} there; wait for "
                         "it, stop it, or choose another folder with --out")

    def all(self) -> list[Snapshot]:
        """List the Snapshots, whole or not, the newest last."""
        return sorted(self._with(".solverstate", ".json"))

    def _with(self, *endings):
        """Return the set of the Snapshots that have a file with one of the endings."""
        found = set()
        for path in self.folder.glob(f"{self.model}_iter_*"):
            number = path.stem.removeprefix(f"{self.model}_iter_")
            if path.suffix in endings and number.isdecimal():
                found.add(Snapshot(int(number), path.with_suffix("")))
        return found

    def newest_weights(self) -> Path | None:
        """Return the newest caffemodel, with or without the rest of its snapshot."""
        found = self._with(".caffemodel")
        return max(found).weights if found else None

    def newest_whole(self) -> tuple[Snapshot | None, list[str]]:
        """Return the newest whole Snapshot or None, and what is wrong with newer ones."""
        skipped = []
        for snapshot in reversed(self.all()):
            problem = snapshot.problem()
            if problem is None:
                return snapshot, skipped
            skipped.append(f"{snapshot.name} is not whole: {problem}")
        return None, skipped

    def best(self, until: int | None = None) -> tuple[Snapshot | None, float]:
        """Return the Snapshot of the best validation IoU and that IoU, or (None, 0.0).

        Those after iteration ``until`` do not count; of equal ones the earliest is the best.
        """
        best, best_iou = None, 0.0
        for snapshot in self.all():
            if until is None or snapshot.iteration <= until:
                with contextlib.suppress(SnapshotError):
                    iou = snapshot.description()["val_overall_iou"]
                    if iou is not None and iou > best_iou:
                        best, best_iou = snapshot, iou
        return best, best_iou

    def to_resume(self) -> Snapshot:
        """Return the Snapshot to go on from: the newest whole one, if it is of this run.

        Logs what is skipped. Raises OtherRunError when there is no whole one, when the newest is of
        `caffe train`, and, naming what differs, when the newest whole one is of another run.
        """
        newest = self.all()[-1]
        afresh = (
            "start afresh with --resume --if-changed restart, which keeps its files, or in another "
            "folder with --out, from these weights if you like with --weights"
        )
        if not newest.described():
            raise OtherRunError(
                f"{newest.stem} was taken by `caffe train`", "go on with "
                f"`caffe train -solver FILE -snapshot {newest.state}`, or {afresh} {newest.weights}"
            )
        snapshot, skipped = self.newest_whole()
        for message in skipped:
            logger.info("skipped: %s", message)
        if snapshot is None:
            raise OtherRunError(
                f"{self.folder}: no whole snapshot of {self.model} is left to resume from",
                "start again with --overwrite, or with --resume --if-changed restart, which keeps "
                "what is there",
            )
        found = differences(snapshot.description()["run"], self.run)
        if found:
            raise OtherRunError(
                f"{snapshot.stem} was taken in another run ({found})",
                f"resume with its settings and data, or {afresh} {snapshot.weights}",
            )
        return snapshot

    def take(self, solver, iou: float | None = None):
        """Write a snapshot of the solver, with the validation ``iou``; delete old ones.

        When this returns, the snapshot is on the disk. Raises OSError when the disk does not take
        it; what was there before is then intact.
        """
        snapshot = Snapshot(solver.iter, self.folder / f"{self.model}_iter_{solver.iter}")
        for left in self.folder.glob(f".{self.model}_iter_*"):  # by a run that was killed
            left.unlink()
        with contextlib.ExitStack() as files:
            memory = {ending: files.enter_context(self._memory(solver.iter, ending))
                      for ending in ENDINGS}
            solver.snapshot()
            memory[".solverstate"].seek(0, os.SEEK_END)
            memory[".solverstate"].write(learned_net(snapshot.weights))
            described = {}
            for ending in ENDINGS:
                temporary = files.enter_context(atomic_path(snapshot.file(ending)))
                memory[ending].seek(0)
                with open(temporary, "wb") as stream:
                    shutil.copyfileobj(memory[ending], stream, 1 << 20)
                described[snapshot.file(ending).name] = {
                    "bytes": temporary.stat().st_size, "sha256": sha256(temporary),
                }
            # Entered last it is renamed first.
            files.enter_context(atomic_path(snapshot.manifest)).write_text(manifest_text({
                "iteration": solver.iter, "val_overall_iou": iou, "files": described,
                "run": self.run, "origin": self.origin,
            }), encoding="utf-8")
        sync_folder(self.folder)
        self._rotate(solver.iter)

    @contextlib.contextmanager
    def _memory(self, iteration, ending):
        """Open a file in memory that Caffe finds where it wants to write."""
        link = Path(f"{self.prefix}_iter_{iteration}{ending}")
        with open(os.memfd_create(ending), "r+b") as stream:
            link.symlink_to(f"/proc/self/fd/{stream.fileno()}")
            try:
                yield stream
            finally:
                link.unlink()

    def _rotate(self, iteration):
        # Later ones are not whole, or this run would have gone on from them; those without a
        # manifest are `caffe train`'s.
        ours = [s for s in self.all() if s.iteration <= iteration and s.described()]
        best, _ = self.best(iteration)
        for snapshot in ours[:-self.keep]:
            if snapshot != best:
                snapshot.delete()

    def set_aside(self) -> Path | None:
        """Move the files of an earlier run to the first folder earlier_N that does not exist.

        They are the model's log, vocabulary, nets and snapshots. Returns the folder, or None when
        there is nothing to move.
        """
        names = (f"{self.model}_log.*", f"{self.model}_vocabulary.txt",
                 f"prototxt/*_{self.model}.prototxt", f"{self.model}_iter_*")
        # Snapshots last: while one is left, the next start finds that there is more to move.
        files = [path for name in names for path in sorted(self.folder.glob(name))]
        if not files:
            return None
        aside = next(folder for number in itertools.count(1)
                     if not (folder := self.folder / f"earlier_{number}").exists())
        for path in files:
            target = aside / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
        return aside

    def clear(self):
        """Delete every snapshot, parts of one and those of `caffe train`, too."""
        for snapshot in self._with(*ENDINGS, ".json"):
            snapshot.delete()
