"""The options of the GPU check and of the benchmark, as every part gets them."""

from dataclasses import dataclass
from pathlib import Path

import caffe

from checks import nets


@dataclass(frozen=True)
class Options:
    """Options of a part. ``work`` is the run's folder of temporary files, ``size`` paper or slim.

    ``gpu`` is the number of the GPU, None for the CPU; ``iterations`` are timed; ``torch_python``
    is a Python with PyTorch or None; a part may take ``timeout`` seconds.
    """

    work: Path
    gpu: int | None = None
    size: str = "slim"
    iterations: int = 1
    torch_python: str | None = None
    timeout: int = 300

    @property
    def data(self) -> Path:
        """The folder of the scenes (:mod:`checks.scenes`)."""
        return self.work / "scenes"

    def use_device(self) -> None:
        """Compute on the device; the part ``machine`` has seen that it works."""
        if self.gpu is None:
            caffe.set_mode_cpu()
        else:
            caffe.set_device(self.gpu)
            caffe.set_mode_gpu()

    def prototxt(self, kind: str, model: str) -> Path:
        """Return the committed prototxt of the timed size; ``kind`` is train, deploy or solver."""
        return nets.path(kind, model, self.size)
