"""Unpack archives from strangers, never outside of their folder."""

import fnmatch
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from objseg.errors import UserError

JUNK = ("__MACOSX", ".DS_Store", "._*")  # what macOS adds to archives
DAMAGE = (  # what zipfile and tarfile raise for a broken, encrypted, unsafe or unknown archive
    EOFError, NotImplementedError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError,
    tarfile.TarError, zipfile.BadZipFile, zlib.error,
    FileExistsError, IsADirectoryError, NotADirectoryError,  # a file that is a folder, too
)


class WrongFileError(UserError):
    """A file is not what the manifest promises, or an archive is damaged or unsafe."""


def work_folder(archive: Path, folder: Path) -> Path:
    """Return the folder below ``folder`` that is there while ``archive`` is being unpacked."""
    return folder / f".unpacking-{archive.name}"


def unpack(archive: Path, folder: Path, holds: tuple[str, ...] = ()) -> None:
    """Unpack a zip or (compressed) tar file into ``folder`` and never outside of it.

    One folder around everything is dropped, unless ``holds`` names it. Files of the same name are
    replaced, others stay. Raises WrongFileError for damage, for links, devices and members that
    point outside, and for a tree without the entries that ``holds`` (patterns) asks for.
    """
    work = work_folder(archive, folder)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _extract(archive, work)
        tree = _tree(work, holds)
    except BaseException as error:
        shutil.rmtree(work)
        if isinstance(error, DAMAGE):
            reason = error or type(error).__name__
            raise WrongFileError(f"the archive is damaged or unsafe: {reason}") from error
        raise
    shutil.copytree(tree, folder, copy_function=os.replace, dirs_exist_ok=True)
    shutil.rmtree(work)


def _extract(archive, work):
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                if not member.is_dir():
                    _save(member.filename, lambda member=member: content.open(member), work)
        return
    # tarfile's data filter came with Python 3.11.4, which is not everywhere
    with tarfile.open(archive) as content:
        for member in content:
            if not (member.isreg() or member.isdir()):
                raise WrongFileError(f"the archive holds a link or a device: {member.name!r}")
            if member.isreg():
                _save(member.name, lambda member=member: content.extractfile(member), work)
        while content.fileobj.read(1 << 20):
            pass  # gzip compares its checksum at the very end


def _save(name, open_member, work):
    """Write a member of an archive to the folder ``work`` as a plain file, unless it is junk."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise WrongFileError(f"the archive would write outside its folder: {name!r}")
    if any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in JUNK):
        return
    path = work.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_member() as member, open(path, "xb") as output:
        shutil.copyfileobj(member, output, 1 << 20)


def _tree(work, holds):
    """Return the folder of the unpacked tree that has the entries ``holds``; or WrongFileError."""
    tops = list(work.iterdir())
    if len(tops) == 1 and tops[0].is_dir() and not any(tops[0].match(name) for name in holds):
        work = tops[0]
    for pattern in holds:
        if not any(work.glob(pattern)):
            found = ", ".join(sorted(path.name for path in work.iterdir())[:5]) or "nothing"
            raise WrongFileError(f"the archive holds no {pattern}, only {found}")
    return work
