"""The commands that errors about a prepared data set name do what they promise."""

import json
import shlex
import subprocess
import sys

import pytest

from objseg.data.dataset import Dataset, DatasetError
from objseg.files import REPOSITORY


def check_advice(out):
    """Spoil the index in ``out``, run the command that the error names, expect the same set."""
    identity, path = Dataset(out).identity, out / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 0}))
    with pytest.raises(DatasetError) as caught:
        Dataset(out)
    program, *words = shlex.split(str(caught.value).split("make it with: ")[1])
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert program == "python" and done.returncode == 0, done.stderr
    assert Dataset(out).identity == identity
