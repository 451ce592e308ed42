"""Time everything until the first answer: Python, Caffe, the net's weights, tools/segment.py."""

import resource
import subprocess
import sys
import time

import caffe

from objseg.caffe.weights import load_net
from objseg.data.dataset import Dataset
from objseg.files import REPOSITORY


def time_start(check):
    """Seconds of every step, each in a fresh process, and the peak memory of the last.

    The weights are random, saved in a file as training would.
    """
    deploy, weights = check.path("deploy", "highres"), check.work / "random.caffemodel"
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    began = time.perf_counter()
    load_net(deploy, weights)
    load = time.perf_counter() - began
    dataset = Dataset(check.data)
    image = dataset.images("test")[0]
    segment = [
        "tools/segment.py", str(image.path), image.regions[0].expressions[0],
        "--size", check.size or "paper", "--weights", str(weights),
        "--vocabulary", str(check.data / "vocabulary.txt"), "--out", str(check.work / "masks"),
    ]
    seconds = {
        name: [_run(words) for _ in range(check.iterations)]
        for name, words in (
            ("python", ["-c", "pass"]), ("import caffe", ["-c", "import caffe"]),
            ("tools/segment.py", segment),
        )
    }
    size = weights.stat().st_size
    weights.unlink()
    return {
        "seconds": seconds, "load": load, "bytes": size,
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, "passed": True,
    }


def _run(words):
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=str(REPOSITORY), check=True,
                   stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
