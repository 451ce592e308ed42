import importlib.util
import os
import subprocess
import sys

import pytest

from objseg.files import REPOSITORY

# Caffe prints a page a net; errors still show.
os.environ.setdefault("GLOG_minloglevel", "2")


def run_tool(*words, check=True, **settings):
    """Run a Python program of the repository as a user would; returns the CompletedProcess."""
    command = [sys.executable, *(str(word) for word in words)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, **{"cwd": str(REPOSITORY), **settings}
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done


def load_tool(name):
    """Import tools/NAME.py, which finds its neighbours there, as a module of its own."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "tools" / f"{name}.py")
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
    finally:
        sys.path.pop(0)
    return tool


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A prepared data set of 12 + 3 + 4 synthetic scenes; a path."""
    folder = tmp_path_factory.mktemp("scenes")
    run_tool("tools/make_demo_data.py", "--out", folder / "raw",
             "--train", 12, "--val", 3, "--test", 4)
    run_tool("tools/prepare_referit.py", "--raw", folder / "raw", "--out", folder / "demo")
    return folder / "demo"


@pytest.fixture(scope="session")
def slim_nets(tmp_path_factory, scenes):
    """The slim nets and solvers on ``scenes``, small batches; a folder."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "snapshots").mkdir()  # Caffe wants it to be there
    run_tool("models/generate.py", "--size", "slim", "--data", scenes, "--out", folder / "prototxt",
             "--snapshots", folder / "snapshots", "--batch", 4, "--expressions-per-image", 2,
             "--iterations", 2, "--workers", 1)
    return folder / "prototxt"
