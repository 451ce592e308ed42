"""data/manifest.json: the public files, where they are published, and how to know a good copy."""

import json
from dataclasses import dataclass
from pathlib import Path

from objseg.errors import UserError


@dataclass(frozen=True)
class File:
    """A file of the manifest.

    ``path`` is where it is saved, relative to the root; ``places`` are its URLs, tried in order.
    ``size`` (bytes), ``sha1`` and ``sha256`` (hex) are checked where known. An archive names the
    folder it is unpacked into, ``unpack``, and ``holds``: patterns, each of which must match an
    entry at the top of the unpacked tree.
    """

    path: str
    places: tuple[str, ...] = ()
    size: int | None = None
    sha1: str | None = None
    sha256: str | None = None
    unpack: str | None = None
    holds: tuple[str, ...] = ()

    def __post_init__(self):
        for path in filter(None, (self.path, self.unpack)):
            if path.startswith("/") or ".." in path.split("/"):
                raise UserError(f"{path!r} is not a path inside the root")
        for place in self.places:
            if not place.startswith(("http://", "https://")):
                raise UserError(f"{place!r} is neither an http nor an https URL")

    @property
    def known_hash(self) -> str | None:
        """Return the known checksum as pooch writes it, such as ``sha1:9363e1...``."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"sha1:{self.sha1}" if self.sha1 else None


@dataclass(frozen=True)
class Package:
    """A Python package that a file is made from.

    ``requirement`` is what pip is asked for, such as ``name==1.0``; ``wheel`` is the file that pip
    fetches, which may also be put at its path by hand, and ``member`` a file in the wheel.
    """

    requirement: str
    wheel: File
    member: File


@dataclass(frozen=True)
class Item:
    """An entry of the manifest: its name, its files, and prose for people.

    The only file of an item with a ``package`` is made from that, and has no places.
    """

    name: str
    about: str
    terms: str
    files: tuple[File, ...]
    by_hand: str = ""
    package: Package | None = None

    @property
    def size(self) -> int | None:
        """Return the bytes of all files together; None where one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(sizes)


def read_manifest(path: str | Path) -> dict[str, Item]:
    """Return {name: Item} in the order of the JSON file ``path``; UserError if it is broken."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: _item(name, entry) for name, entry in content["items"].items()}
    except (OSError, UserError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: not a manifest: {error}") from error


def _item(name, entry):
    entry = {**entry, "files": tuple(_file(file) for file in entry["files"])}
    if "package" in entry:
        facts = entry["package"]
        entry["package"] = Package(
            **{**facts, "wheel": _file(facts["wheel"]), "member": _file(facts["member"])}
        )
    return Item(name=name, **entry)


def _file(facts):
    return File(**{
        key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
    })


def by_hand(item: Item, file: File, root: Path) -> str:
    """Return lines that tell a person where ``file`` is to be had and where to put it."""
    facts = [amount(file.size), *filter(None, [file.known_hash])]
    lines = [f"{item.name}: {root / file.path} ({', '.join(facts)})", f"    {file.places[0]}"]
    if item.by_hand and file is item.files[-1]:
        lines.append(f"  {item.by_hand}")
    return "\n".join(lines)


def amount(size: int | None) -> str:
    """Return ``size`` bytes in words: ``527.8 MiB``; ``size unknown`` for None."""
    if size is None:
        return "size unknown"
    if size < 1 << 20:
        return f"{size / 1024:.1f} KiB"
    return f"{size / (1 << 20):.1f} MiB"
