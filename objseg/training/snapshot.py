"""One snapshot of training: its files, whether they are whole, and how a solver restores it.

A snapshot is MODEL_iter_N.caffemodel and MODEL_iter_N.solverstate, as Caffe writes them, and a
manifest, MODEL_iter_N.json, with their sizes and checksums, the fingerprint of the run, the
vocabulary and the validation's result. The manifest holds a checksum of itself as well: a flipped
bit in it must not pass for another run's, nor change which snapshot is the best and stays.
"""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from objseg.download.fetched import fetched
from objseg.errors import UserError
from objseg.files import digest, sha256

ENDINGS = (".caffemodel", ".solverstate")
"""Endings of the files that Caffe writes: weights, and the rest of the solver's state."""


class SnapshotError(UserError):
    """A snapshot that cannot be resumed; the message says what to do."""


class Snapshot(NamedTuple):
    """A snapshot of iteration ``iteration``: ``stem`` (Path) with each of three endings."""

    iteration: int
    stem: Path

    @property
    def name(self) -> str:
        """Its name for messages, MODEL_iter_N."""
        return self.stem.name

    @property
    def weights(self) -> Path:
        """The caffemodel."""
        return self.file(".caffemodel")

    @property
    def state(self) -> Path:
        """The solver state."""
        return self.file(".solverstate")

    @property
    def manifest(self) -> Path:
        """The JSON file that describes the other two; Caffe's own snapshots have none."""
        return self.file(".json")

    def file(self, ending: str) -> Path:
        """The file with an ending."""
        return self.stem.with_name(self.stem.name + ending)

    def described(self) -> bool:
        """Whether there is a manifest; a snapshot of `caffe train` has none."""
        return self.manifest.is_file()

    def description(self) -> dict:
        """Read the manifest: iteration, files, run, origin, val_overall_iou.

        ``files`` is {name: {bytes, sha256}}, ``run`` a result of
        :func:`objseg.training.fingerprint.fingerprint`, ``origin`` that of
        :class:`objseg.training.snapshots.Snapshots`; the IoU is None if it was not measured.
        Raises SnapshotError when the manifest cannot be read.
        """
        try:
            found = json.loads(self.manifest.read_text(encoding="utf-8"))
            if found.pop("sha256") != digest(found):
                raise ValueError("its sha256 is not the one that was written")
            return found
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{self.manifest.name} is damaged ({error})") from error

    def problem(self) -> str | None:
        """Return what is wrong with the files, None when they are whole."""
        try:
            for name, expected in self.description()["files"].items():
                path = self.stem.with_name(name)
                size = path.stat().st_size
                if size != expected["bytes"]:
                    return f"{name} has {size} bytes, {expected['bytes']} were written"
                if sha256(path) != expected["sha256"]:
                    return f"{name} is damaged, its sha256 is not the one that was written"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, SnapshotError) as error:
            return str(error)
        return None

    def delete(self):
        """Delete its files, the manifest last: what is left of it still counts as this run's."""
        for ending in (*ENDINGS, ".json"):
            self.file(ending).unlink(missing_ok=True)


def origin(weights: Path) -> dict:
    """Return the ``origin`` of a caffemodel, see :class:`objseg.training.snapshots.Snapshots`.

    {} where there is no manifest, or one that is damaged, older, or of other weights.
    """
    snapshot = Snapshot(0, Path(weights).with_suffix(""))
    try:
        description = snapshot.description()
        same = description["files"][snapshot.weights.name]["sha256"] == sha256(weights)
        # Older manifests say nothing but the vocabulary.
        facts = description.get("origin") or {"vocabulary": description["vocabulary"]}
        return facts if same else {}
    except (SnapshotError, KeyError):
        return {}


def convolutions_of(weights: Path) -> tuple[Path, str] | None:
    """Return the file of the convolutions whose maps ``weights`` were trained on.

    With it the checksum of their numbers. None where the weights have convolutions of their own.
    The file is fetched if need be, see :func:`objseg.download.fetched.fetched`. Raises UserError
    where it is missing.
    """
    source = origin(weights).get("convnet")
    if source is None:
        return None
    path = fetched(source["file"])
    if not path.is_file():
        raise UserError(f"{path} does not exist: the convolutions that {weights} were trained on")
    return path, source["sha256"]


def manifest_text(manifest: dict) -> str:
    """Return the text of a manifest, with a checksum of itself."""
    return json.dumps({**manifest, "sha256": digest(manifest)}, indent=1)


def learned_net(path: Path) -> bytes:
    """Return a serialised ``learned_net`` field, the path of the weights of a solver state.

    Appended to a .solverstate it overrides the stored path, since protobuf keeps a field's last
    value.
    """
    from objseg.caffe.messages import SolverState  # loads protobuf, and Caffe where it is

    return SolverState(learned_net=str(path)).SerializeToString()


def restore(solver, snapshot: Snapshot):
    """Load a whole Snapshot of the same run into a Caffe solver.

    Caffe stores where the weights were when the snapshot was taken; the folder may have moved
    since.
    """
    with open(os.memfd_create("state"), "wb") as stream:
        with open(snapshot.state, "rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
        stream.write(learned_net(snapshot.weights))
        stream.flush()
        solver.restore(f"/proc/self/fd/{stream.fileno()}")
