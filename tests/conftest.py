import os

import pytest
from support.commands import run_tool

# Caffe prints a page a net; errors still show.
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import onnxruntime themselves


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
    run_tool("tools/generate_prototxt.py", "--size", "slim", "--data", scenes, "--out",
             folder / "prototxt",
             "--snapshots", folder / "snapshots", "--batch", 4, "--expressions-per-image", 2,
             "--iterations", 2, "--workers", 1)
    return folder / "prototxt"
