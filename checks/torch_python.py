"""Find a Python that has PyTorch, and let it answer requests (:mod:`checks.torch_reference`)."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from objseg.errors import UserError
from objseg.files import REPOSITORY

log = logging.getLogger(__name__)

LEFT_OUT = "PyTorch is left out (--torch-python PATH names one)"


def find_python(given: str | None, gpu: int | None) -> tuple[str | None, tuple[str, ...]]:
    """Find a Python that has torch: ``given``, or else this one or python3 on the PATH.

    Returns it, or None, and the first words of the parts that cannot run: all of PyTorch's without
    one, its times where its torch does not see the GPU. Raises UserError when ``given`` does not
    run or has no torch.
    """
    # The Caffe environment puts its own folder first on the PATH; here the host's Python is meant.
    folders = [f for f in os.get_exec_path() if f != str(Path(sys.executable).parent)]
    host = shutil.which("python3", path=os.pathsep.join(folders))
    for python in [given] if given else filter(None, [sys.executable, host]):
        if _succeeds(python, "import importlib.util as i, sys; sys.exit(not i.find_spec('torch'))"):
            if gpu is None or _succeeds(python, "import torch; torch.zeros(1).cuda()"):
                return python, ()
            log.warning("the torch of %s sees no GPU: %s", python, LEFT_OUT)
            return python, ("torch",)
    if given:
        raise UserError(f"--torch-python {given}: it does not run or has no torch; try "
                        f"`{given} -c 'import torch'`")
    log.warning("no Python with torch here: %s", LEFT_OUT)
    return None, ("torch", "torch-split", "agreement")


def ask(python: str, net, request: dict) -> dict:
    """Run the pycaffe ``net`` in PyTorch under ``python``; returns the answer to the ``request``.

    :mod:`checks.torch_reference` says what they hold; the net's ``shapes`` are added here.

    Raises UserError when the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        shapes = {name: [list(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
        question.write_text(json.dumps({**request, "shapes": shapes}))
        words = [python, "-m", "checks.torch_reference", str(question), str(answer)]
        done = _run(words, cwd=REPOSITORY)
        if done.returncode:
            lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"{python}: {lines[-1]}")
        return json.loads(answer.read_text())


def _succeeds(python, code):
    try:
        return _run([python, "-c", code]).returncode == 0
    except OSError:  # there is no such program
        return False


def _run(words, **settings):
    """Run another Python, without the environment variables that are meant for this one."""
    ours = () if words[0] == sys.executable else ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    return subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **settings)
