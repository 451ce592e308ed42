"""Run tools/train.py in forks of the test's process, which has Caffe imported.

Each has one BLAS thread, so that weights can be compared bit for bit.
"""

import logging
import os
import runpy
import sys
import tempfile
import traceback

from threadpoolctl import threadpool_limits

from objseg.files import REPOSITORY


def start_training(out, *words, sabotage=lambda: None):
    """Run tools/train.py in a fork, after ``sabotage()`` there; returns its process id."""
    errors = out.with_name(out.name + ".txt")
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        with open(errors, "w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        logging.getLogger().handlers.clear()  # pytest's
        tempfile.tempdir = str(out.parent)  # what os._exit leaves there goes with the run
        threadpool_limits(1)
        sys.path.insert(0, str(REPOSITORY / "tools"))
        sys.argv = ["train.py", "--out", str(out), *map(str, words)]
        sabotage()
        runpy.run_path(str(REPOSITORY / "tools" / "train.py"), run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_training(out, *words, sabotage=lambda: None):
    """Run tools/train.py to its end; returns (exit status, or minus a signal; what it printed)."""
    _, status = os.waitpid(start_training(out, *words, sabotage=sabotage), 0)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return code, out.with_name(out.name + ".txt").read_text()
