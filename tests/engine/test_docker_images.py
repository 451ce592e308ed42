import re
import subprocess
from pathlib import PurePosixPath

import pytest

from objseg.files import REPOSITORY


def left_out(path):
    """Whether .dockerignore keeps a file out of the images: the last pattern that fits decides."""
    names = [str(path), *map(str, PurePosixPath(path).parents)]
    decision = False
    for line in (REPOSITORY / ".dockerignore").read_text().split():
        pattern = re.escape(line.lstrip("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, name) for name in names):
            decision = not line.startswith("!")
    return decision


def test_images_hold_what_the_project_comes_with():
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git repository, which lists the project's files")
    files = listed.stdout.splitlines()
    assert "models/sizes.py" in files
    assert not [path for path in files if left_out(path)]
    assert left_out("out/demo/report.html") and left_out("models/vgg16_start.caffemodel")
