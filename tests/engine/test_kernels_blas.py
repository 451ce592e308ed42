"""Another BLAS in the place of OpenBLAS: the reference, Debian's package libblas3."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.kernel_nets import CONVOLUTION, draw, error, layer, make_net, run

from objseg.files import REPOSITORY

LIBRARY = next(Path("/usr/lib").glob("*/blas/libblas.so.3"), None)

CHILD = """
import sys
import caffe, numpy as np
from objseg.caffe.blas import caffes_blas
from support.kernel_nets import run

prototxt, weights, given, found = sys.argv[1:]
net, given = caffe.Net(prototxt, caffe.TRAIN, weights=weights), np.load(given)
net.blobs["x"].data[...], net.blobs["y"].diff[...] = given["x"], given["dy"]
np.savez(found, blas=caffes_blas()["version"], **run(net))
"""


@pytest.mark.skipif(LIBRARY is None, reason="no reference BLAS here: apt-get install libblas3")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_another_blas_gives_the_same_results(tmp_path, random):
    """Caffe then has no OpenBLAS to ask for the number of threads."""
    preloaded = tmp_path / "forward.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f'-DLIBRARY="{LIBRARY}"', "-Wl,-soname,libscipy_openblas.so",
         REPOSITORY / "engine/check/forward_blas.c", "-o", preloaded], check=True,
    )
    net = make_net(
        tmp_path, (2, 8, 30, 26), layer("Convolution", "x", "a", CONVOLUTION.format(24)),
        layer("ReLU", "a", "r"),
        layer("Convolution", "r", "y", "num_output: 16 kernel_size: 5 pad: 2"),  # stock
    )
    draw(net, random)
    net.save(str(tmp_path / "weights"))
    expected = run(net)
    np.savez(tmp_path / "given", x=expected["x"], dy=expected["dy"])
    files = [next(tmp_path.glob("*.prototxt")), tmp_path / "weights", tmp_path / "given.npz",
             tmp_path / "found.npz"]
    paths = [str(REPOSITORY), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
    subprocess.run([sys.executable, "-c", CHILD, *files], check=True, env={
        **os.environ, "LD_PRELOAD": str(preloaded), "PYTHONPATH": os.pathsep.join(paths),
    })
    found = np.load(files[-1])
    assert found["blas"] == "unknown"
    np.testing.assert_array_equal(found["a"], expected["a"])
    for name in expected:
        assert error(found[name], expected[name]) < 1e-5, name
