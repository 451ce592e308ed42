"""Which picture each proposal was made of: a line per file in the index.jsonl beside the files."""

import json
from collections.abc import Iterable
from pathlib import Path

from objseg.data.dataset import Image
from objseg.errors import UserError
from objseg.files import digest, sha256


class ProposalIndex:
    """The index of a ``folder`` of proposals, a file per image.

    A line of FOLDER/index.jsonl is {"image": id, "picture": sha256 of the picture file,
    "published": sha256 of the published file that was taken, or null, "file": sha256 of the file
    of proposals}. Lines are appended as files are made, and the last line of an image counts, so
    that an interrupted run goes on where it stopped.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.entries = {}
        path = self.folder / "index.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                self.entries[entry["image"]] = entry
            except (ValueError, TypeError, KeyError):
                continue  # the line that a killed run left half written

    def entry(self, image: Image, published: Path | None, file: Path) -> dict:
        """Return the line that describes the proposals ``file`` of ``image``."""
        return {
            "image": image.id, "picture": image.sha256,
            "published": sha256(published) if published else None, "file": sha256(file),
        }

    def append(self, entry: dict) -> None:
        """Add a line that :meth:`entry` returned."""
        with open(self.folder / "index.jsonl", "a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(entry)}")  # also behind a line that is half written
        self.entries[entry["image"]] = entry

    def digest(self, path: Path) -> str | None:
        """Return the sha256 of the file ``path`` of the folder; None if it does not exist.

        It is the index's word where the file is listed; :meth:`verify` holds it against the file.
        """
        if path.stem in self.entries:
            return self.entries[path.stem]["file"]
        return sha256(path) if path.is_file() else None

    @property
    def identity(self) -> str:
        """Return one checksum of all files of proposals in the folder."""
        files = sorted(path for path in self.folder.iterdir() if path.suffix in (".npz", ".txt"))
        return digest([[path.name, self.digest(path)] for path in files])

    def verify(self, path: Path) -> None:
        """Raise UserError where ``path`` is listed, and is not the file that was listed."""
        entry = self.entries.get(path.stem)
        if entry is not None and sha256(path) != entry["file"]:
            raise UserError(
                f"{path}: changed since index.jsonl was written; make it again with: "
                "python tools/make_proposals.py"
            )

    def check(self, images: Iterable[Image]) -> None:
        """Raise UserError where proposals were made of another picture than that of ``images``."""
        stale = [
            image.id for image in images
            if image.id in self.entries and self.entries[image.id]["picture"] != image.sha256
        ]
        if stale:
            raise UserError(
                f"{self.folder}: the proposals of {len(stale)} images, such as {stale[0]}, were "
                "made of other pictures than the data set's; make them again with: "
                "python tools/make_proposals.py"
            )
