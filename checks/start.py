"""Time everything until the first answer: Python, Caffe, the net's weights, tools/segment.py."""

import os
import resource
import shutil
import subprocess
import sys
import time

import caffe

from checks.options import Options
from objseg.caffe.weights import load_net
from objseg.data.dataset import Dataset
from objseg.files import REPOSITORY


def time_start(options: Options) -> dict:
    """Return the seconds of every step, each a process of its own, and the peak memory in bytes.

    The weights are random, saved in a file as training would.
    """
    deploy, weights = options.prototxt("deploy", "highres"), options.work / "random.caffemodel"
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    shutil.copy(options.data / "vocabulary.txt", options.work / "highres_vocabulary.txt")
    began = time.perf_counter()
    load_net(deploy, weights)
    load = time.perf_counter() - began
    image = Dataset(options.data).images("test")[0]
    python = sys.executable
    commands = {
        "Python": [python, "-c", "pass"],
        "Python and import caffe": [python, "-c", "import caffe"],
        "tools/segment.py, one image and one expression": [
            python, "tools/segment.py", image.path, image.regions[0].expressions[0],
            "--size", options.size, "--weights", weights, "--out", options.work / "masks",
        ],
    }
    if "OBJSEG_INSIDE" in os.environ:  # elsewhere Caffe is installed, and the tool not needed
        commands = {"tools/caffe-env": ["tools/caffe-env", "true"], **commands}
    seconds = {
        name: [_run(words) for _ in range(options.iterations)] for name, words in commands.items()
    }
    size = weights.stat().st_size
    weights.unlink()
    return {
        "steps": {**seconds, f"load the net with weights of {size / 1e6:.0f} MB": [load]},
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, "passed": True,
    }


def _run(words):
    began = time.perf_counter()
    subprocess.run(words, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
