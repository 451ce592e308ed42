"""What the tests of engine/kernels share."""

import caffe
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def default_kernels(monkeypatch):
    for name in ("CAFFE_STOCK_CPU", "CAFFE_CPU_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    caffe.set_mode_cpu()


@pytest.fixture
def random():
    return np.random.RandomState(0)
