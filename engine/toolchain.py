"""Compilers, headers and libraries that Caffe is built with, gathered in a folder.

Nothing is taken from the host but apt-get, Python and its C library: what is installed there
neither helps nor hurts, and root and user build the same.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

ENGINE = Path(__file__).resolve().parent
TRIPLE = f"{platform.machine()}-linux-gnu"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Toolchain:
    """Unpacks all that the build needs into ``folder``; with ``cuda`` also what CUDA needs.

    ``cxx`` is the command of the C++ compiler (list of str), ``includes``, ``libraries`` and
    ``system`` are folders for it, the last those of Debian's libraries. ``environment`` is what it
    and the other programs run in. Raises CalledProcessError where a package cannot be had.
    """

    def __init__(self, folder: Path, cuda: bool = False):
        self.root, packages = folder / "debian", folder / "python"
        self.apt_config = folder / "apt/apt.conf"
        python_headers = Path(sysconfig.get_path("include"))
        wanted = read_list(ENGINE / "packages.txt")
        # Debian's own headers include others that only the sysroot has
        if python_headers.is_relative_to("/usr/include") or \
                not (python_headers / "Python.h").exists():
            wanted.append(f"lib{PYTHON}-dev")
            python_headers = self.root / "usr/include" / PYTHON
        subprocess.run(
            [ENGINE / "unpack-packages", self.apt_config.parent, self.root, *wanted], check=True
        )
        install(["build"], packages)
        self.system = self.root / "usr/lib" / TRIPLE
        boost, openblas = packages / "cmeel.prefix", packages / "scipy_openblas32"
        self.includes = [boost / "include", openblas / "include", python_headers,
                         packages / "numpy/_core/include"]
        self.libraries = [boost / "lib", openblas / "lib"]
        self.cxx = [f"{TRIPLE}-g++", f"--sysroot={self.root}"]
        self.cuda = folder / "cuda/nvidia" if cuda else None
        if cuda:
            install(["cuda", "cuda-build"], folder / "cuda")
            toolkit = next(self.cuda.glob("cu[0-9]*"))
            for program in [*(toolkit / "bin").iterdir(), *(toolkit / "nvvm/bin").iterdir()]:
                program.chmod(0o755)
            self.nvcc = [toolkit / "bin/nvcc", "-ccbin", self.root / "usr/bin" / self.cxx[0],
                         "-Xcompiler", self.cxx[1]]
            for part in (toolkit, self.cuda / "cudnn"):
                self.includes.append(part / "include")
                self.libraries.append(part / "lib")
        self.environment = {
            "PATH": os.pathsep.join(
                [str(packages / "bin"), str(self.root / "usr/bin"), "/usr/bin", "/bin"]
            ),
            "PYTHONPATH": str(packages),
            "LD_LIBRARY_PATH": str(link_missing(self.system, folder / "lib")),
            "TMPDIR": str(folder),
        }

    def run(self, command: list, **settings) -> None:
        """Run ``command`` in the toolchain's environment. Raises CalledProcessError."""
        subprocess.run([str(word) for word in command], env=self.environment, check=True,
                       **settings)


def read_list(path: Path) -> list[str]:
    """Return the lines of a list of packages, without comments."""
    texts = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [text for text in texts if text]


def install(lists: list[str], folder: Path) -> None:
    """Unpack into ``folder`` the packages of requirements/NAME.txt for each NAME in ``lists``."""
    subprocess.run(
        # -P: a folder of the same name where this is started is not taken for pip
        [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
         "--only-binary=:all:", f"--target={folder}",
         *(f"--requirement={ENGINE}/requirements/{name}.txt" for name in lists)], check=True,
        # what a user may have set for pip's other work
        env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
    )


def link_missing(system: Path, folder: Path) -> Path:
    """Link into ``folder`` the libraries of ``system`` that the host lacks, and return it.

    The unpacked programs find them there. The host's C library must stay the one that belongs to
    its loader.
    """
    folder.mkdir(exist_ok=True)
    for library in system.glob("*.so*"):
        if not (Path("/usr/lib") / TRIPLE / library.name).exists() and \
                not (Path("/lib") / TRIPLE / library.name).exists():
            (folder / library.name).symlink_to(library)
    return folder
