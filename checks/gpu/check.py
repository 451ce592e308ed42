"""The options that every part of the check gets, and the device that it is about."""

from dataclasses import dataclass
from pathlib import Path

import caffe

from checks.gpu import nets


@dataclass(frozen=True)
class Check:
    """The options of every part: the folder ``work``, and ``data``, the scenes in it.

    ``gpu`` is None in a rehearsal, where the CPU stands in the GPU's place. ``size`` is the folder
    of the nets that are timed, "" for the paper's; ``iterations`` are timed.
    """

    work: Path
    gpu: int | None
    size: str
    iterations: int
    torch_python: str

    @property
    def data(self):
        """The prepared data set of the check."""
        return self.work / "scenes"

    def device(self):
        """Compute on the device under check; the part ``machine`` has seen that it works."""
        if self.gpu is None:
            caffe.set_mode_cpu()
        else:
            caffe.set_device(self.gpu)
            caffe.set_mode_gpu()

    def path(self, kind, name):
        """A committed prototxt of the timed size."""
        return nets.PROTOTXT / self.size / f"{kind}_{name}.prototxt"
