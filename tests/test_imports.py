"""Imports of the library: which modules need Caffe, and in which direction folders depend."""

import ast
import graphlib
import pkgutil
import subprocess
import sys

import objseg
from objseg.files import REPOSITORY

WITH_CAFFE = ("objseg.caffe.", "objseg.training.")
"""The folders that objseg's docstring excepts."""

BLOCKED = """
import importlib, sys
sys.modules["caffe"] = None  # importing it raises ImportError
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules():
    """Names of all modules of the library."""
    return [module.name for module in pkgutil.walk_packages(objseg.__path__, "objseg.")]


def imported(path):
    """Names of the modules that a file imports, wherever in it; those that begin with a dot not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_folders_caffe_and_training_need_caffe_when_imported():
    without = [name for name in modules() if not name.startswith(WITH_CAFFE)]
    assert len(without) > 40
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *without], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr


def test_the_library_imports_nothing_that_stands_above_it():
    for path in (REPOSITORY / "objseg").rglob("*.py"):
        above = {"models", "tools", "checks", "common", "tests", "support"}
        assert not {name.split(".")[0] for name in imported(path)} & above, path


def test_no_two_folders_of_the_library_need_each_other():
    """Sorts them topologically, which fails for a circle."""
    needs = {}
    for path in (REPOSITORY / "objseg").rglob("*.py"):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found = {name.split(".")[1] for name in imported(path) if name.startswith("objseg.")}
        needs.setdefault(parts[1], set()).update(found - {parts[1]})
    order = list(graphlib.TopologicalSorter(needs).static_order())
    assert order.index("data") < order.index("methods") < order.index("evaluation")
