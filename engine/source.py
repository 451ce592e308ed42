"""Fetch Caffe's source, verify it and apply the patches."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from toolchain import ENGINE, Toolchain

COMMIT = "99bd99795dcdf0b1d3086a8d67ab1782a8a08383"
"""BVLC Caffe 1.0 of 21 August 2018, which Debian and Ubuntu shipped until 2024."""

DEBIAN = "pool/{}/c/caffe/caffe_1.0.0+git20180821.99bd997.orig.tar.gz"

DIGESTED = ("LICENSE", "CONTRIBUTORS.md", "include", "src", "python/caffe", "tools/caffe.cpp")
"""Files and folders of the source that the build uses; the digest covers these alone."""

DIGEST = "0fe3db93659b05577c627152fea31d9ac8ab80d0965eb48b2f920d67947e73d1"
"""What :func:`digest` returns for the true source, whichever address its archive is from."""


class SourceError(ValueError):
    """The source cannot be had, or is not the one that is pinned."""


def run_apt(program: str, *words: str | Path, apt_config: Path, **settings):
    """Run one of apt's programs with the settings in ``apt_config``; return a CompletedProcess."""
    return subprocess.run([program, *words], check=True, **settings,
                          env={**os.environ, "APT_CONFIG": str(apt_config)})


def addresses(apt_config: Path) -> Iterator[str]:
    """Yield the addresses of Caffe's source in the order in which they are tried.

    The first are those of Debian's or Ubuntu's archive, as ``apt_config`` has them.
    """
    for origin in ("Debian", "Ubuntu"):
        mirrors = run_apt(
            "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
            f"Origin: {origin}", apt_config=apt_config, text=True, stdout=subprocess.PIPE,
        ).stdout.split()
        for mirror in dict.fromkeys(mirrors):
            if mirror.startswith("http"):
                yield from (mirror + DEBIAN.format(part) for part in ("main", "universe"))
    yield "http://archive.debian.org/debian/" + DEBIAN.format("main")
    yield f"https://github.com/BVLC/caffe/archive/{COMMIT}.tar.gz"


def download(url: str, path: Path, apt_config: Path) -> None:
    """Write what is at ``url`` to ``path`` as apt does, through its proxy.

    Raises CalledProcessError when it cannot be had.
    """
    run_apt("/usr/lib/apt/apt-helper", "download-file", url, path, apt_config=apt_config)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz of the source into ``folder``. Raises CalledProcessError."""
    subprocess.run(["tar", "--extract", "--gzip", f"--file={archive}", f"--directory={folder}"],
                   check=True)
    tops = list(folder.iterdir())
    if len(tops) == 1:  # as from the origin: caffe-COMMIT/src
        for path in tops[0].iterdir():
            path.rename(folder / path.name)


def digest(folder: Path) -> str:
    """Return the SHA-256 (hex) over names and contents of the ``DIGESTED`` files in ``folder``."""
    files = []
    for name in DIGESTED:
        path = folder / name
        files += [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    total = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{content}  {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def fetch(folder: Path, apt_config: Path | None = None, archive: Path | None = None) -> None:
    """Put Caffe's verified source into the new ``folder``.

    ``archive`` is a .tar.gz at hand; by default each of :func:`addresses` is tried, with the
    settings of apt in ``apt_config``. Raises SourceError when none has the source with the pinned
    digest.
    """
    problems = []
    for place in [archive] if archive else addresses(apt_config):
        folder.mkdir(parents=True)
        try:
            path = archive or folder.with_suffix(".tar.gz")
            if not archive:
                download(place, path, apt_config)
            unpack(path, folder)
            found = digest(folder)
            if found == DIGEST:
                return
            problems.append(f"{place}: its files have the digest {found}, expected {DIGEST}")
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"{place}: {error}")
        shutil.rmtree(folder)
    raise SourceError(
        "Caffe's source cannot be had:\n  " + "\n  ".join(problems)
        + "\n  Fetch one of these by hand and name it in OBJSEG_SOURCE (tools/caffe-env) or with "
        "--source (engine/make_wheel.py)"
    )


def apply_patches(folder: Path, tools: Toolchain) -> None:
    """Apply ``engine/patches`` in order with no fuzz. Raises CalledProcessError."""
    for patch in sorted((ENGINE / "patches").glob("*.patch")):
        tools.run(["patch", "--strip=1", "--fuzz=0", "--quiet", f"--input={patch}"], cwd=folder)
