"""Snapshots of training that are whole or absent: written, listed, verified, restored, rotated."""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from objseg.caffe.weights import WeightsError, check_fits, read_caffemodel
from objseg.errors import UserError
from objseg.files import atomic_path, sha256, sync_folder
from objseg.training.fingerprint import differences

ENDINGS = (".caffemodel", ".solverstate")
"""Endings of the files that Caffe writes: weights, and the rest of the solver's state."""


class SnapshotError(UserError):
    """A snapshot that cannot be resumed; the message says what to do."""


class OtherRunError(SnapshotError):
    """Snapshots that this run cannot go on from; ``found`` says why, without advice."""

    def __init__(self, found, advice):
        super().__init__(f"{found}: {advice}")
        self.found = found


class Snapshot(NamedTuple):
    """A snapshot of iteration ``iteration``: ``stem`` (Path) with each of three endings."""

    iteration: int
    stem: Path

    @property
    def name(self):
        """Its name for messages, MODEL_iter_N."""
        return self.stem.name

    @property
    def weights(self):
        """The caffemodel."""
        return self.file(".caffemodel")

    @property
    def state(self):
        """The solver state."""
        return self.file(".solverstate")

    @property
    def manifest(self):
        """The JSON file that describes the other two; Caffe's own snapshots have none."""
        return self.file(".json")

    def file(self, ending):
        """The file with an ending."""
        return self.stem.with_name(self.stem.name + ending)

    def described(self):
        """Whether there is a manifest."""
        return self.manifest.is_file()

    def description(self):
        """The manifest: iteration, files {name: {bytes, sha256}}, run, val_overall_iou.

        ``run`` is a :func:`objseg.training.fingerprint.fingerprint`, the IoU is None if it was not
        measured. Raises SnapshotError when it cannot be read.
        """
        try:
            found = json.loads(self.manifest.read_text(encoding="utf-8"))
            if found.pop("sha256") != _seal(found):
                raise ValueError("its sha256 is not the one that was written")
            return found
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{self.manifest.name} is damaged ({error})") from error

    def problem(self):
        """Say (str) what is wrong with the files; None when they are whole.

        Without a manifest all that can be seen is that both can be read.
        """
        try:
            if not self.described():
                read_state(self.state)
                read_caffemodel(self.weights)
                return None
            for name, expected in self.description()["files"].items():
                path = self.stem.with_name(name)
                size = path.stat().st_size
                if size != expected["bytes"]:
                    return f"{name} has {size} bytes, {expected['bytes']} were written"
                if sha256(path) != expected["sha256"]:
                    return f"{name} is damaged, its sha256 is not the one that was written"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, SnapshotError, WeightsError) as error:
            return str(error)
        return None


class Snapshots:
    """The snapshots of one ``model`` in ``folder``: MODEL_iter_N.caffemodel, .solverstate, .json.

    ``run`` is the fingerprint of the run that takes them, ``keep`` how many of the newest stay; the
    best by validation stays as well. Caffe has to write to ``prefix``: it aborts the process when a
    disk is full, and overlooks it for the last bytes of a file. So there it finds memory, as much
    as the snapshot is large, and Python writes to the disk.
    """

    def __init__(self, folder, model, run=None, keep=3):
        self.folder, self.model, self.run, self.keep = Path(folder), model, run, keep
        self.vocabulary = None

    @cached_property
    def prefix(self):
        """The solver's snapshot_prefix, in a folder that goes with this object."""
        self._staging = tempfile.TemporaryDirectory(prefix="snapshot-")
        return f"{self._staging.name}/{self.model}"

    def claim(self):
        """See that no other process trains this model in this folder while this one runs.

        Raises SnapshotError where one does. It takes a file MODEL.lock, which stays and means
        nothing once its process has ended, however that was.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / f"{self.model}.lock", "a")
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise SnapshotError(
                f"{self.folder}: another process is training {self.model} there; wait for it, stop "
                "it, or choose another folder with --out"
            ) from error
        except OSError:  # a file system without locks: then the user has to know
            pass

    def all(self):
        """List the Snapshots, whole or not, the newest last."""
        return sorted(self._found(".solverstate", ".json"))

    def _found(self, *endings):
        """Set of the Snapshots that have a file with one of the endings."""
        pattern = re.compile(rf"({re.escape(self.model)}_iter_(\d+))\.\w+")
        return {
            Snapshot(int(match[2]), self.folder / match[1])
            for ending in endings for path in self.folder.glob(f"{self.model}_iter_*{ending}")
            for match in [pattern.fullmatch(path.name)] if match
        }

    def newest_weights(self):
        """The newest caffemodel, with or without the rest of its snapshot; None without any."""
        found = self._found(".caffemodel")
        return max(found).weights if found else None

    def newest_whole(self):
        """Find the newest whole Snapshot; returns (it or None, what is wrong with newer ones)."""
        skipped = []
        for snapshot in reversed(self.all()):
            problem = snapshot.problem()
            if problem is None:
                return snapshot, skipped
            skipped.append(f"{snapshot.name} is not whole: {problem}")
        return None, skipped

    def best(self, until=None):
        """The Snapshot of best validation IoU up to iteration ``until`` with it, or (None, 0.0)."""
        measured = [(0.0, 0, None)]
        for snapshot in self.all():
            with contextlib.suppress(SnapshotError):
                iou = snapshot.description()["val_overall_iou"]
                if iou is not None and (until is None or snapshot.iteration <= until):
                    measured.append((iou, -snapshot.iteration, snapshot))
        iou, _, snapshot = max(measured, key=lambda entry: entry[:2])
        return snapshot, iou

    def to_resume(self, say):
        """The Snapshot to go on from: the newest whole one, if it is of this run.

        ``say(message)`` is told what is skipped, and what cannot be verified. Raises SnapshotError
        when there is no whole one, and, naming what differs, when it is of another run.
        """
        snapshot, skipped = self.newest_whole()
        for message in skipped:
            say(f"skipped: {message}")
        if snapshot is None:
            raise OtherRunError(
                f"{self.folder}: no whole snapshot of {self.model} is left to resume from",
                "start again with --overwrite, or with --resume --if-changed restart, which keeps "
                "what is there",
            )
        if not snapshot.described():
            say(f"{snapshot.name} has no manifest, as from `caffe train`: it can be read, but that "
                "it is undamaged and of these settings cannot be verified")
            return snapshot
        found = differences(snapshot.description()["run"], self.run)
        if found:
            raise OtherRunError(
                f"{snapshot.stem} was taken in another run ({found})",
                "resume with its settings and data, or start afresh with --resume --if-changed "
                "restart, which keeps its files, or in another folder with --out, from these "
                f"weights if you like with --weights {snapshot.weights}",
            )
        return snapshot

    def take(self, solver, iou=None):
        """Write a snapshot of the solver, with the validation ``iou`` (or None); drop old ones.

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
            manifest = {
                "iteration": solver.iter, "val_overall_iou": iou, "files": described,
                "run": self.run, "vocabulary": self.vocabulary,
            }
            # Entered last it is renamed first: files without a manifest are never ours.
            files.enter_context(atomic_path(snapshot.manifest)).write_text(
                json.dumps({**manifest, "sha256": _seal(manifest)}, indent=1), encoding="utf-8"
            )
        sync_folder(self.folder)
        self._rotate(solver.iter)

    @contextlib.contextmanager
    def _memory(self, iteration, ending):
        """A file in memory that Caffe finds where it wants to write, open for reading, too."""
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
                _delete(snapshot)

    def set_aside(self):
        """Move the files of an earlier run to the first folder earlier_N that does not exist.

        They are the model's log, vocabulary, nets and snapshots. Returns the folder, or None when
        there is nothing to move.
        """
        names = (f"{self.model}_log.*", f"{self.model}_vocabulary.txt",
                 f"prototxt/*_{self.model}.prototxt", f"{self.model}_iter_*")
        # Snapshots last: while one is left, a run that was killed here is recognised as this.
        files = [path for name in names for path in sorted(self.folder.glob(name))]
        if not files:
            return None
        number = next(n for n in itertools.count(1)
                      if not (self.folder / f"earlier_{n}").exists())
        aside = self.folder / f"earlier_{number}"
        for path in files:
            target = aside / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
        return aside

    def clear(self):
        """Delete every snapshot, parts of one and those of `caffe train`, too."""
        for snapshot in self._found(*ENDINGS, ".json"):
            _delete(snapshot)


def trained_vocabulary(weights: Path) -> str | None:
    """Return the sha256 (hexadecimal) of the MODEL_vocabulary.txt that weights were trained with.

    None where that is not known: the file has no manifest beside it, or one that is damaged, older,
    or of other weights.
    """
    snapshot = Snapshot(0, Path(weights).with_suffix(""))
    try:
        description = snapshot.description()
        if description["files"][snapshot.weights.name]["sha256"] != sha256(weights):
            return None
        return description["vocabulary"]
    except (SnapshotError, KeyError):
        return None


def _seal(manifest):
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _delete(snapshot):
    for ending in (*ENDINGS, ".json"):  # the manifest last: what is left of it still counts as ours
        snapshot.file(ending).unlink(missing_ok=True)


def learned_net(path):
    """Bytes that, behind those of a solver state, say where its weights lie.

    Protobuf takes the last value of a field.
    """
    return caffe_pb2.SolverState(learned_net=str(path)).SerializeToString()


def read_state(path):
    """Read a solver state as a SolverState; raises SnapshotError when it is broken."""
    state = caffe_pb2.SolverState()
    try:
        state.ParseFromString(Path(path).read_bytes())
    except DecodeError as error:
        raise SnapshotError(f"{Path(path).name} is broken ({error})") from error
    return state


def restore(solver, snapshot):
    """Load a Snapshot's solver state and weights.

    Caffe stores where the weights lay when the snapshot was taken; the folder may have moved since.
    Raises SnapshotError or WeightsError when they are broken or belong to another net or solver.
    """
    check_fits(solver.net, snapshot.weights)
    # On another number Caffe would abort the process.
    found = len(read_state(snapshot.state).history)
    kinds = 2 if type(solver).__name__ in ("AdamSolver", "AdaDeltaSolver") else 1
    expected = kinds * sum(map(len, solver.net.params.values()))
    if found != expected:
        raise SnapshotError(
            f"{snapshot.state}: the history of {found} blobs, {expected} expected; it was taken "
            "with another solver or net, or is truncated"
        )
    with open(os.memfd_create("state"), "wb") as stream:
        with open(snapshot.state, "rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
        stream.write(learned_net(snapshot.weights))
        stream.flush()
        solver.restore(f"/proc/self/fd/{stream.fileno()}")
