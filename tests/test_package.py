"""The package that pip installs, in an environment of its own without Caffe."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy as np
import pytest
from skimage import data

import objseg
from objseg.files import REPOSITORY

REQUIREMENTS = REPOSITORY / "engine" / "requirements"
CONVOLUTIONS = "models/vgg16_convolutions.caffemodel"
PHRASES = ["cat", "the cat on the left", "xylophone"]

SEGMENT = """
import sys
import numpy, skimage.data
import objseg
segmenter = objseg.Segmenter.from_pretrained("photo")
assert type(segmenter) is objseg.OnnxSegmenter
segmenter.set_image(skimage.data.chelsea()[:, :, ::-1])
found = segmenter.predict(sys.argv[2:])
numpy.savez(sys.argv[1], **found._asdict())
"""

NOTEBOOK = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=300).execute()
print(notebook)
"""

pytestmark = pytest.mark.slow


def pip(python, *words):
    """Run pip; skips the test where no index can be reached."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "No matching distribution found" in done.stdout:
        pytest.skip(f"pip finds no packages: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the working tree; a path."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, REPOSITORY)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Install the wheel; returns a function that runs a program there, in an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip(python, "install", wheel, "scikit-image", "matplotlib",
        "--requirement", REQUIREMENTS / "notebook.txt",
        "--constraint", REQUIREMENTS / "environment.txt")
    if (REPOSITORY / CONVOLUTIONS).is_file():  # else the first use fetches them
        place = folder / "cache" / "objseg" / CONVOLUTIONS
        place.parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / CONVOLUTIONS, place)
    hidden = ("PYTHONPATH", "OBJSEG_INSIDE", "MPLBACKEND")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    (folder / "empty").mkdir()

    def run(program, *words):
        done = subprocess.run(
            [python, "-c", program, *map(str, words)], cwd=folder / "empty", env=environment,
            text=True, capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_one_model_and_no_downloads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    large = [name for name, size in sizes.items() if size > 1e6]
    (weights,) = (REPOSITORY / "models" / "photo").glob("*.caffemodel")
    assert large == [f"objseg/shipped/models/photo/{weights.name}"]
    assert f"objseg-{objseg.__version__}-" in wheel.name and "objseg/py.typed" in sizes


def test_it_segments_as_caffe_does(run, tmp_path):
    run(SEGMENT, tmp_path / "found.npz", *PHRASES)
    found = np.load(tmp_path / "found.npz")
    segmenter = objseg.Segmenter.from_pretrained("photo", engine="caffe")
    segmenter.set_image(data.chelsea()[:, :, ::-1])
    expected = segmenter.predict(PHRASES)
    np.testing.assert_allclose(found["responses"], expected.responses, atol=1e-3)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-3)
    clear = np.abs(expected.responses) > 1e-3
    np.testing.assert_array_equal(found["masks"][clear], expected.masks[clear])
    assert expected.masks[0].any() and not expected.masks[0].all()


def test_the_notebook_runs(run):
    printed = run(NOTEBOOK, REPOSITORY / "docs" / "example.ipynb")
    for text in ("OnnxSegmenter", "'image/png'", "is read as 'person'", "cv2.imread returns None"):
        assert text in printed
