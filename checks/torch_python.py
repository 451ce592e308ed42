"""Let a Python that has PyTorch answer requests (:mod:`checks.torch_reference`)."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from objseg.errors import UserError
from objseg.files import REPOSITORY


def try_torch(python: str, gpu: int | None) -> None:
    """Raise UserError where ``python`` does not run, has no torch, or its torch sees no GPU."""
    code = "import torch" + ("" if gpu is None else "; torch.zeros(1).cuda()")
    try:
        _run([python, "-c", code])
    except (OSError, UserError) as error:
        raise UserError(f"--torch-python: {error}") from error


def ask(python: str, net, request: dict) -> dict:
    """Run the pycaffe ``net`` in PyTorch under ``python``; returns the answer to the ``request``.

    :mod:`checks.torch_reference` says what they hold; the net's ``shapes`` are added here. Raises
    UserError when the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        shapes = {name: [list(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
        question.write_text(json.dumps({**request, "shapes": shapes}))
        _run([python, "-m", "checks.torch_reference", str(question), str(answer)])
        return json.loads(answer.read_text())


def _run(words):
    """Run another Python, without the environment variables that are meant for this one.

    Raises UserError with the last line that it printed where it fails.
    """
    ours = () if words[0] == sys.executable else ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(words, env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UserError(f"{words[0]}: {lines[-1]}")
