"""Segmenter.from_pretrained without its files: names, engines, and what it says."""

import subprocess
import sys

import pytest

import objseg
from objseg.files import REPOSITORY


@pytest.mark.parametrize("arguments, message", [
    (["foto"], "no pretrained model 'foto'; expected one of photo"),
    (["photo", "torch"], "no engine 'torch'; expected one of caffe, onnx"),
    (["../models/photo"], "no pretrained model"),
])
def test_an_unknown_name_or_engine_is_named(arguments, message):
    with pytest.raises(objseg.UserError, match=message):
        objseg.Segmenter.from_pretrained(*arguments)


def test_without_caffe_its_engine_is_refused_with_what_to_do():
    program = """
import sys
sys.modules["caffe"] = None
import objseg
objseg.Segmenter.from_pretrained("photo", engine="caffe")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, text=True,
                          capture_output=True)
    assert "UserError: engine 'caffe': Python finds no module caffe here; leave" in done.stderr


def test_importing_the_library_loads_neither_numpy_nor_opencv():
    program = "import sys, objseg; print({'numpy', 'cv2', 'caffe'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, text=True,
                          capture_output=True, check=True)
    assert done.stdout == "set()\n"


def test_a_name_that_the_library_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute Segmenters"):
        objseg.Segmenters  # noqa: B018
