"""Run the tools as a user would."""

import importlib.util
import subprocess
import sys

from objseg.files import REPOSITORY


def run_tool(*words, check=True, **settings):
    """Run a Python program of the repository as a user would; returns the CompletedProcess."""
    command = [sys.executable, *(str(word) for word in words)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        **{"cwd": str(REPOSITORY), "timeout": 300, **settings}
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
