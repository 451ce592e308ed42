"""Archives from strangers, unpacked without ever writing outside their folder."""

import contextlib
import fnmatch
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from objseg.errors import UserError
from objseg.files import Progress

LARGEST_TREE = 32 << 30  # bytes an archive may unpack to; ReferIt, the largest, needs far less
MOST_FILES = 500_000  # files an archive may hold; ReferIt has about 120,000
JUNK = ("__MACOSX", ".DS_Store", "._*")  # what macOS adds to archives
DAMAGE = (  # what zipfile and tarfile raise for a broken, an encrypted or an unknown archive
    EOFError, NotImplementedError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError,
    tarfile.TarError, zipfile.BadZipFile, zlib.error,
)


class WrongFileError(UserError):
    """A file is not what the manifest or its own format promises."""


class RoomError(UserError):
    """The disk has too little room; the message says how much is missing."""


def amount(size):
    """Bytes in words: ``527.8 MiB``; ``size unknown`` for None."""
    if size is None:
        return "size unknown"
    if size < 1024:
        return f"{size} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            return f"{size:.1f} {unit}"


def check_room(folder, needed):
    """Raise RoomError unless the disk of ``folder`` has ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RoomError(
            f"{amount(needed)} more are needed on the disk of {folder}, {amount(free)} are free"
        )


def unpack(archive, folder, work, holds=()):
    """Unpack a zip or (compressed) tar file into ``folder``, which it never writes outside of.

    Every member is checked before anything is written: absolute names, ``..``, links, devices and
    absurd sizes raise WrongFileError, as do damage and a tree without the entries that ``holds``
    (patterns) asks for. One folder around everything is dropped, unless ``holds`` names it. The
    tree grows in ``work``, a folder inside ``folder`` that is there only while it is incomplete,
    and is then moved, so that files of the same name are replaced and others stay.
    """
    folder = Path(folder)
    try:
        with _members(archive) as members:
            files = _checked(members, holds)
            folder.mkdir(parents=True, exist_ok=True)
            check_room(folder, sum(size for size, _ in files.values()))
            if work.exists():
                shutil.rmtree(work)
            work.mkdir()
            with Progress(len(files), f"unpack into {folder.name}", "file") as progress:
                for parts, (_, source) in files.items():
                    path = work.joinpath(*parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with source() as content, open(path, "xb") as output:
                        shutil.copyfileobj(content, output, 1 << 20)
                    progress.advance()
    except DAMAGE as error:
        raise WrongFileError(f"the archive is damaged: {error or type(error).__name__}") from error
    _move_tree(work, folder)
    shutil.rmtree(work)


def _move_tree(source, target):
    for child in list(source.iterdir()):
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _move_tree(child, place)
        else:
            os.replace(child, place)


@contextlib.contextmanager
def _members(archive):
    """Yield the members as tuples (name, kind, bytes, function that opens it)."""
    with open(archive, "rb") as beginning:
        is_zip = beginning.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(archive) as content:
            yield (_zip_member(content, info) for info in content.infolist())
    else:
        with tarfile.open(archive) as content:
            yield (_tar_member(content, info) for info in content)
            while content.fileobj.read(1 << 20):
                pass  # gzip compares its checksum at the very end


def _zip_member(content, info):
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if info.is_dir():
        kind = "folder"
    else:
        kind = "file" if kind in (0, stat.S_IFREG) else "link, device or the like"
    return info.filename, kind, info.file_size, lambda: content.open(info)


def _tar_member(content, info):
    if info.isdir():
        kind = "folder"
    elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = "file"
    else:
        kind = "link, device or the like"
    return info.name, kind, info.size, lambda: content.extractfile(info)


def _checked(members, holds):
    """Return {path parts: (bytes, function that opens it)} of the files; or WrongFileError."""
    files, total = {}, 0
    for name, kind, size, source in members:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or set(name) & set("\\\0"):
            raise WrongFileError(f"the archive wants to write outside its folder: {name!r}")
        if kind not in ("file", "folder"):
            raise WrongFileError(f"the archive holds a {kind}: {name!r}")
        if kind == "folder" or any(fnmatch.fnmatch(part, bad) for part in parts for bad in JUNK):
            continue
        total += size
        if total > LARGEST_TREE or len(files) >= MOST_FILES:
            raise WrongFileError(
                f"the archive is absurdly large: more than {amount(LARGEST_TREE)} "
                f"or {MOST_FILES} files"
            )
        files[parts] = size, source
    for parts in files:
        if not parts or any(parts[:depth] in files for depth in range(1, len(parts))):
            raise WrongFileError(f"in the archive a file is a folder too: {'/'.join(parts)!r}")
    tops = {parts[0] for parts in files}
    wrapped = len(tops) == 1 and all(len(parts) > 1 for parts in files)
    if wrapped and not any(fnmatch.filter(tops, pattern) for pattern in holds):
        files = {parts[1:]: value for parts, value in files.items()}
        tops = {parts[0] for parts in files}
    for pattern in holds:
        if not fnmatch.filter(tops, pattern):
            raise WrongFileError(
                f"the archive holds no {pattern}, only {', '.join(sorted(tops)[:5]) or 'nothing'}"
            )
    return files
