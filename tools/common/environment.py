"""Start a tool inside the Caffe environment, whatever machine and Python it was started with.

Every tool begins with ``from common import environment`` and ``environment.enter()`` and ends with
``environment.run(main)``. This file runs on the host's Python, so it uses the standard library
alone. Importing it puts the repository and its Python layers on ``sys.path``, and nothing else.
"""

import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "python_layers")]


def enter(blas_threads: int | None = None):
    """Return at once where Caffe is at hand; elsewhere start this script again where it is.

    The second start goes through ``tools/caffe-env``, which replaces this process: arguments,
    terminal, process id and exit status stay the caller's. ``blas_threads`` is the number of BLAS
    threads per process where the user's OPENBLAS_NUM_THREADS says none; it counts only before numpy
    is loaded.
    """
    open_standard_streams()
    os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe would print thousands of lines per net
    if blas_threads:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(blas_threads))
    pycaffe = importlib.util.find_spec("caffe")
    # the command may lie beside a Python whose environment is not activated
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    if pycaffe and pycaffe.origin and shutil.which("caffe", path=places):  # a folder has no origin
        return
    if os.environ.get("OBJSEG_INSIDE"):
        sys.exit(
            "error: tools/caffe-env started this script with a Python that has no Caffe, "
            f"{sys.executable}; start tools as `python tools/NAME.py`"
        )
    caffe_env = str(REPOSITORY / "tools" / "caffe-env")
    script = os.path.abspath(sys.argv[0])
    sys.stdout.flush()
    os.execv(caffe_env, [caffe_env, "python", script, *sys.argv[1:]])


def open_standard_streams():
    """Open /dev/null for closed standard streams; the next file would get their numbers.

    bash may have opened its script, for reading, under such a number: that counts as closed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
            if mode == "w":
                os.write(number, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))


def run(main):
    """End the process with what ``main()`` returns, an exit status or None for 0.

    An error for the user (:mod:`objseg.errors`) goes to standard error as ``error: …`` with status
    1; set OBJSEG_TRACEBACK=1 to see where it came from. Every other error keeps its traceback. An
    interrupt ends with status 130, a reader that went away (``| head``) quietly with 141. Messages
    of the library's loggers, from INFO on, are plain lines on standard error.
    """
    from objseg.errors import is_for_user

    logging.basicConfig(format="%(message)s")
    for name in ("objseg", "models", "checks", "common", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        status = 141
    except Exception as error:
        if not is_for_user(error) or os.environ.get("OBJSEG_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)
