"""Make the wheel objseg-caffe: BVLC Caffe 1.0 with pycaffe, for the Python that runs this.

    python3 engine/make_wheel.py [--cuda] [--out FOLDER]

Needs a Debian-like system with apt-get, and no root. Works in a temporary folder, which is deleted
at the end; TMPDIR says where.
"""

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import compiling
import source
import toolchain

VERSION = "1.0.0"
SUPPORTED = ((3, 11), (3, 12), (3, 13))

NEEDED_GB = {False: 1.5, True: 6}
"""Disk space that a build takes, without and with CUDA."""

ARCHITECTURES = ["75", "80", "86", "89", "90+PTX", "100", "120"]
"""Compute capabilities of the CUDA build: every generation that CUDA 13 knows, from Turing on."""

METADATA = """\
Metadata-Version: 2.1
Name: objseg-caffe
Version: {version}
Summary: BVLC Caffe 1.0 with pycaffe for current systems, {device}
License: BSD-2-Clause
Requires-Python: =={python}.*
Requires-Dist: numpy>=2
Requires-Dist: protobuf>=4.21
Requires-Dist: six
Requires-Dist: scipy-openblas32>=0.3.31
{cuda}Provides-Extra: io
Requires-Dist: scikit-image; extra == "io"
Requires-Dist: scipy; extra == "io"

The module caffe and the command of the same name. Built from BVLC's source of 21 August 2018 with
patches for current compilers, Python, numpy, protobuf, CUDA and cuDNN; without LMDB, LevelDB, HDF5
and OpenCV.
"""

MESSAGES = '''\
"""The messages of caffe.proto, made from its descriptor."""

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import builder

FILES = descriptor_pb2.FileDescriptorSet.FromString({descriptor!r})
DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(FILES.file[0].SerializeToString())
builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())
'''

BUNDLED = ("libgflags", "libgoogle-glog", "liblzma", "libprotobuf", "libunwind", "zlib")
"""Debian packages, without the numbers behind their names, whose libraries auditwheel puts into the
wheel; their licences go there, too."""

EXCLUDED = ("libscipy_openblas.so", "libcu*.so.*")
"""Libraries that stay outside the wheel, in the packages that it requires."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuda", action="store_true", help="build for NVIDIA's GPUs, too")
    parser.add_argument("--architectures", nargs="+", metavar="N", default=ARCHITECTURES,
                        help="compute capabilities to hold code for, with +PTX also PTX, which "
                        "the driver compiles for newer cards (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(), help="where the wheel goes (here)")
    parser.add_argument("--source", type=Path, help="archive of Caffe's source, if at hand")
    parser.add_argument("--tests", action="store_true",
                        help="also write caffe_tests.so, for engine/check/cpp_tests.py")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)),
                        help="compilers at a time (%(default)s)")
    return parser.parse_args()


def check_host(cuda: bool) -> None:
    """End with a message where this Python or this system cannot build the wheel."""
    if sys.version_info[:2] not in SUPPORTED:
        sys.exit("error: this is Python {}.{}; Caffe is built for Python 3.11, 3.12 and 3.13; "
                 "start engine/make_wheel.py with one of them".format(*sys.version_info))
    if not importlib.util.find_spec("pip"):
        sys.exit(f"error: {sys.executable} has no pip; start engine/make_wheel.py with the Python "
                 "of a virtual environment: python3 -m venv venv && venv/bin/python "
                 "engine/make_wheel.py")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        sys.exit("error: there is no apt-get here; make the wheel on Debian 12 or 13, or in the "
                 "image of the Dockerfile")
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    if free < NEEDED_GB[cuda]:
        sys.exit(f"error: {tempfile.gettempdir()} has {free:.1f} GB free, {NEEDED_GB[cuda]} are "
                 "needed; name a roomier folder in TMPDIR")


@contextmanager
def step(name: str):
    """Print how long the block took."""
    print(f"setup: {name}", flush=True)
    began = time.monotonic()
    yield
    print(f"setup: {name} took {time.monotonic() - began:.0f} s", flush=True)


def pack(tools: toolchain.Toolchain, patched: Path, module: Path, descriptor: bytes,
         folder: Path) -> Path:
    """Put the package together in ``folder`` and return it as a wheel for any Linux as new as this.

    ``module`` is the extension module, ``descriptor`` that of caffe.proto.
    """
    package, version = folder / "caffe", VERSION + ("+cu13" if tools.cuda else "")
    information = folder / f"objseg_caffe-{version}.dist-info"
    licences, python = information / "licenses", "cp{}{}".format(*sys.version_info)
    (package / "proto").mkdir(parents=True)
    licences.mkdir(parents=True)
    for file in [*(patched / "python/caffe").glob("*.py"), module]:
        shutil.copy(file, package)
    shutil.copy(toolchain.ENGINE / "caffe_command.py", package / "command.py")
    (package / "proto/__init__.py").touch()
    (package / "proto/caffe_pb2.py").write_text(MESSAGES.format(descriptor=descriptor))
    cuda = toolchain.read_list(toolchain.ENGINE / "requirements/cuda.txt") if tools.cuda else []
    (information / "METADATA").write_text(METADATA.format(
        version=version, device="CUDA 13" if tools.cuda else "CPU",
        python="{}.{}".format(*sys.version_info),
        cuda="".join(f"Requires-Dist: {library}\n" for library in cuda),
    ))
    (information / "WHEEL").write_text(
        "Wheel-Version: 1.0\nGenerator: objseg\nRoot-Is-Purelib: false\n"
        f"Tag: {python}-{python}-linux_{platform.machine()}\n"
    )
    (information / "entry_points.txt").write_text(
        "[console_scripts]\ncaffe = caffe.command:main\n"
    )
    for name in ("LICENSE", "CONTRIBUTORS.md"):
        shutil.copy(patched / name, licences / f"caffe-{name}")
    for pattern in BUNDLED:
        for text in (tools.root / "usr/share/doc").glob(f"{pattern}[0-9]*/copyright"):
            shutil.copy(text, licences / text.parent.name)
    tools.run([sys.executable, "-P", "-m", "wheel", "pack", folder, f"--dest-dir={folder.parent}"])
    libraries = os.pathsep.join(str(folder) for folder in tools.libraries)
    # where auditwheel looks; not in tools.system, whose C library is not that of the host's loader
    tools.environment["LD_LIBRARY_PATH"] += os.pathsep + libraries
    tools.run([sys.executable, "-P", "-m", "auditwheel", "repair", "--only-plat",
               f"--wheel-dir={folder.parent}/repaired",
               *(f"--exclude={name}" for name in EXCLUDED), *folder.parent.glob("*.whl")])
    return next((folder.parent / "repaired").glob("*.whl"))


def make(arguments: argparse.Namespace, work: Path) -> Path:
    """Build everything in the folder ``work``; return the wheel's place in ``arguments.out``."""
    patched = work / "caffe"
    with step("fetching compilers and libraries"):
        tools = toolchain.Toolchain(work, arguments.cuda)
    with step("fetching Caffe's source"):
        source.fetch(patched, tools.apt_config, arguments.source)
    source.apply_patches(patched, tools)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with step("compiling Caffe"):
        compiler = compiling.Compiler(tools, patched, work / "build", arguments.architectures,
                                      arguments.processes)
        module, descriptor = compiling.build(compiler)
        if arguments.tests:
            shutil.copy(compiling.build_tests(compiler), arguments.out)
    with step("packing the wheel"):
        wheel = pack(tools, patched, module, descriptor, work / "package")
    new = arguments.out / f"{wheel.name}.part"
    shutil.move(wheel, new)
    return new.rename(new.with_suffix(""))


def main() -> None:
    """Make the wheel and print its path."""
    arguments = parse_arguments()
    check_host(arguments.cuda)
    try:
        with tempfile.TemporaryDirectory(prefix="objseg-caffe-") as work:
            print(make(arguments, Path(work)))
    except subprocess.CalledProcessError as error:
        system = platform.freedesktop_os_release().get("PRETTY_NAME")
        sys.exit(f"error: {Path(error.cmd[0]).name} failed (see above); Caffe is known to build on "
                 f"Debian 12 and 13, this is {system}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
