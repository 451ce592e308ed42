"""How tools start and end; that they start again inside is tested beside caffe-env."""

import subprocess
import sys

import pytest

from objseg.files import REPOSITORY


def run_python(code, *words, **settings):
    """Run ``code`` as a tool would be: with tools/ on the path."""
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=REPOSITORY / "tools", capture_output=True,
        text=True, **settings
    )


def test_messages_of_the_library_are_plain_lines_on_standard_error():
    done = run_python("""
import logging
from common import environment

def main():
    logging.getLogger("objseg.data.prepare").info("3 images")
    logging.getLogger("another.library").info("noise")
    print("result")

environment.run(main)
""")
    assert (done.stdout, done.stderr) == ("result\n", "3 images\n")


@pytest.mark.parametrize("given, threads", [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_a_tools_blas_threads_give_way_to_the_users(given, threads, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    done = run_python("""
import os
from common import environment
environment.enter(blas_threads=1)
print(os.environ["OPENBLAS_NUM_THREADS"])
""")
    assert done.stdout == f"{threads}\n"


def test_importing_the_helpers_of_the_tools_starts_nothing_and_sets_nothing():
    """A notebook that imports them must not be replaced by another program."""
    done = run_python("""
import os
os.execv = os.system = None  # whoever calls them fails
from common import arguments, environment, method_arguments
print([name for name in os.environ if name.startswith(("GLOG", "OPENBLAS"))])
""", env={"PATH": "/usr/bin:/bin", "HOME": "/"})
    assert done.stdout == "[]\n", done.stderr


def test_preparing_data_loads_no_net_and_no_proposals():
    done = run_python("""
import runpy, sys
runpy.run_path("prepare_referit.py", run_name="imported")
heavy = ("caffe", "h5py", "objseg.methods", "objseg.regions", "models")
print([name for name in sys.modules if name.startswith(heavy)])
""")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", ["arguments", "environment"])
def test_a_helper_that_is_started_by_mistake_says_nothing(name):
    done = subprocess.run([sys.executable, REPOSITORY / "tools" / "common" / f"{name}.py"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
