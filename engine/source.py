"""Fetch Caffe's source, verify it and apply the patches."""

import hashlib
import shutil
import subprocess
import urllib.request
from http.client import HTTPException
from pathlib import Path

ENGINE = Path(__file__).resolve().parent

COMMIT = "99bd99795dcdf0b1d3086a8d67ab1782a8a08383"
"""BVLC Caffe 1.0 of 21 August 2018, which Debian and Ubuntu shipped until 2024."""

DEBIAN = "pool/{}/c/caffe/caffe_1.0.0+git20180821.99bd997.orig.tar.gz"

USED = ("LICENSE", "CONTRIBUTORS.md", "include", "src", "python/caffe", "tools/caffe.cpp")
"""Files and folders of the source that the build uses; the digest covers these alone."""

DIGEST = "0fe3db93659b05577c627152fea31d9ac8ab80d0965eb48b2f920d67947e73d1"
"""What :func:`digest` returns for the true source. It holds for every place's archive."""


class SourceError(ValueError):
    """The source cannot be had, or is not the one that is pinned."""


def places(mirrors=()):
    """Yield the addresses of Caffe's source in the order in which they are tried.

    ``mirrors`` are the addresses of Debian's or Ubuntu's archive that apt-get uses.
    """
    for mirror in mirrors:
        yield from (mirror + DEBIAN.format(part) for part in ("main", "universe"))
    yield "http://archive.debian.org/debian/" + DEBIAN.format("main")
    yield f"https://github.com/BVLC/caffe/archive/{COMMIT}.tar.gz"


def download(url, path):
    """Write what is at ``url`` to ``path``. Raises OSError when it cannot be had."""
    with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)


def unpack(archive, folder):
    """Unpack a .tar.gz of the source into ``folder``. Raises CalledProcessError."""
    subprocess.run(["tar", "--extract", "--gzip", f"--file={archive}", f"--directory={folder}"],
                   check=True)
    tops = list(folder.iterdir())
    if len(tops) == 1:  # as from the origin: caffe-COMMIT/src
        for path in tops[0].iterdir():
            path.rename(folder / path.name)


def digest(folder):
    """SHA-256 (hex) over the names and contents of the ``USED`` files in ``folder``."""
    files = []
    for name in USED:
        path = folder / name
        files += [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    total = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{content}  {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def fetch(folder, mirrors=(), archive=None):
    """Put Caffe's verified source into the new ``folder``.

    ``archive`` is a .tar.gz at hand; by default each of :func:`places` is tried. Raises
    SourceError when none has the source with the pinned digest.
    """
    problems = []
    for place in [archive] if archive else places(mirrors):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            path = archive or folder.with_suffix(".tar.gz")
            if not archive:
                download(place, path)
            unpack(path, folder)
        except (OSError, HTTPException, subprocess.CalledProcessError) as error:
            problems.append(f"{place}: {error}")
            continue
        found = digest(folder)
        if found == DIGEST:
            return
        problems.append(f"{place}: its files have the digest {found}, expected {DIGEST}")
    shutil.rmtree(folder, ignore_errors=True)
    raise SourceError(
        "Caffe's source cannot be had:\n  " + "\n  ".join(problems)
        + "\n  Fetch one of these by hand and name it: engine/wheel.py --source FILE"
    )


def apply_patches(folder, tools):
    """Apply ``engine/patches`` in order with no fuzz. Raises CalledProcessError."""
    for patch in sorted((ENGINE / "patches").glob("*.patch")):
        tools.run(["patch", "--strip=1", "--fuzz=0", "--quiet", f"--input={patch}"], cwd=folder)
