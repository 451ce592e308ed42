"""docker/bundle/launch, in a bundle of this system's own Python and two of its libraries.

In the place of Caffe's library stands one that asks for a library of a name which no system has,
as Caffe's asks for CUDA's; in the place of CUDA's stands one under that name.
"""

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from objseg.files import REPOSITORY

PYTHON, STANDARD_LIBRARY = Path("/usr/bin/python3.9"), Path("/usr/lib/python3.9")
ASKED, CUDA = "libgcc_s.so.1", "libcudaX.so.1"  # of one length, so that the file stays whole
PRINT_PLACE = (f"import ctypes; ctypes.CDLL({CUDA!r}); print(next(line for line in "
               f"open('/proc/self/maps') if line.endswith('{CUDA}\\n')))")

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"needs {PYTHON}, Debian 11's")


def system_library(name):
    """The path of a library of the system, from the list of what this process has loaded."""
    ctypes.CDLL(name)
    loaded = Path("/proc/self/maps").read_text().split()
    return next(Path(word) for word in loaded if Path(word).name.startswith(name.split(".")[0]))


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "a bundle"
    for name in ("bin", "libexec", "lib/python3.9"):
        (folder / name).mkdir(parents=True)
    shutil.copy(REPOSITORY / "docker/bundle/launch", folder / "bin")
    for name in ("caffe", "python"):
        (folder / "bin" / name).symlink_to("launch")
    shutil.copy(PYTHON, folder / "libexec")
    for part in STANDARD_LIBRARY.iterdir():
        (folder / "lib/python3.9" / part.name).symlink_to(part)
    site = folder / "lib/python3.9/sitecustomize.py"
    site.unlink()
    shutil.copy(REPOSITORY / "docker/bundle/sitecustomize.py", site)
    caffe = system_library("libstdc++.so.6").read_bytes()
    assert ASKED.encode() in caffe
    (folder / "lib/libcaffe.so.1.0.0").write_bytes(caffe.replace(ASKED.encode(), CUDA.encode()))
    (folder / "lib/cuda-libraries").write_text(f"{CUDA}\nlibcuda.so.1\n")
    return folder


def put_cuda(folder, version=13):
    folder.mkdir(parents=True)
    shutil.copy(system_library(ASKED), folder / CUDA)
    (folder / f"libcudart.so.{version}").touch()


def start(program, *words, **environment):
    """Run a program of the bundle in an otherwise nearly empty environment; CompletedProcess."""
    home = Path(program).parents[2]
    return subprocess.run(
        [str(program), *words], capture_output=True, text=True, timeout=60, cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    )


def test_names_the_missing_library_and_the_command_that_fetches_it(bundle):
    done = start(bundle / "bin/python", "-c", "print('started')")
    assert done.returncode == 125 and not done.stdout
    assert f"not found: {CUDA}\n" in done.stderr
    assert f"pip install --no-deps --target '{bundle}/cuda'" in done.stderr


@pytest.mark.parametrize("place, setting", [
    ("a bundle/cuda/nvidia/cu13/lib", {}),
    (".local/lib/python3.12/site-packages/nvidia/cu13/lib", {}),
    ("toolkit/lib64", {"OBJSEG_CUDA": "toolkit"}),
    ("toolkit/lib64", {"CUDA_HOME": "toolkit"}),
    ("packages/nvidia/cu13/lib", {"OBJSEG_CUDA": "packages"}),
    ("venv/lib/python3.11/site-packages/nvidia/cu13/lib", {"VIRTUAL_ENV": "venv"}),
    ("venv/lib/python3.11/site-packages/nvidia/cu13/lib", {"OBJSEG_CUDA": "venv"}),
    ("any where", {"LD_LIBRARY_PATH": "any where"}),
])
def test_finds_cuda(bundle, tmp_path, place, setting):
    put_cuda(tmp_path / place)
    done = start(bundle / "bin/python", "-c", PRINT_PLACE,
                 **{name: str(tmp_path / value) for name, value in setting.items()})
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / place / CUDA) in done.stdout


def test_takes_nothing_from_beside_cuda_12(bundle, tmp_path):
    """Some of its libraries have the names of CUDA 13's."""
    put_cuda(tmp_path / "venv/lib/python3.11/site-packages/nvidia/curand/lib", version=12)
    right = tmp_path / ".local/lib/python3.11/site-packages/nvidia"
    put_cuda(right / "cudnn/lib")
    (right / "cu13/lib").mkdir(parents=True)
    (right / "cudnn/lib/libcudart.so.13").rename(right / "cu13/lib/libcudart.so.13")
    done = start(bundle / "bin/python", "-c", PRINT_PLACE, VIRTUAL_ENV=str(tmp_path / "venv"))
    assert done.returncode == 0, done.stderr
    assert str(right / "cudnn/lib" / CUDA) in done.stdout


def test_a_named_place_is_the_only_one(bundle, tmp_path):
    put_cuda(bundle / "cuda/nvidia/cu13/lib")
    done = start(bundle / "bin/python", "-c", "", OBJSEG_CUDA=str(tmp_path / "elsewhere"))
    assert done.returncode == 125
    assert f"OBJSEG_CUDA is now {tmp_path}/elsewhere" in done.stderr


REPORT = """import json, os, sys
print(json.dumps([sys.executable, sys.prefix, sys.argv[1:], dict(os.environ)]))
sys.exit(7)"""


def test_the_host_and_the_bundle_do_not_disturb_each_other(bundle, tmp_path):
    put_cuda(bundle / "cuda/nvidia/cu13/lib")
    host = tmp_path / "host"
    host.mkdir()
    (host / "json.py").write_text("raise SystemExit('a module of the host')")
    for name in ("libexpat.so.1", "libz.so.1"):  # Python is linked to them
        (host / name).write_text("not a library")
    done = start(bundle / "bin/python", "-c", REPORT, "two words", "",
                 PYTHONPATH=str(host), PYTHONHOME=str(host), LD_LIBRARY_PATH=str(host))
    assert done.returncode == 7, done.stderr
    executable, prefix, words, environment = json.loads(done.stdout)
    assert (executable, prefix) == (str(bundle / "bin/python"), str(bundle))
    assert words == ["two words", ""]
    assert environment["PYTHONPATH"] == f"{tmp_path}:{tmp_path}/python_layers"
    assert "PYTHONHOME" not in environment
    assert environment["LD_LIBRARY_PATH"] == str(host)  # for the programs that this one starts
    assert environment["PATH"].split(":")[0] == str(bundle / "bin")
    assert environment["OBJSEG_INSIDE"] == "1"


def test_python_starts_itself_again_with_the_modules_it_has(bundle, tmp_path):
    put_cuda(bundle / "cuda/nvidia/cu13/lib")
    again = """import os, subprocess, sys
os.chdir('/')
sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"""
    done = start(bundle / "bin/python", "-c", again, "-c", REPORT)
    assert done.returncode == 7, done.stderr
    executable, _, _, environment = json.loads(done.stdout)
    assert executable == str(bundle / "bin/python")
    assert environment["PYTHONPATH"] == f"{tmp_path}:{tmp_path}/python_layers"


def test_a_link_from_elsewhere_works_under_the_right_name(bundle, tmp_path):
    put_cuda(bundle / "cuda/nvidia/cu13/lib")
    (tmp_path / "tools/bin").mkdir(parents=True)
    for name, status in (("python", 7), ("phyton", 125)):
        link = tmp_path / "tools/bin" / name
        link.symlink_to(bundle / "bin/python")
        done = start(link, "-c", REPORT)
        assert done.returncode == status, done.stderr
    assert "this was started as phyton" in done.stderr
