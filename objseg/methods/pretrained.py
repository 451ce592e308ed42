"""Models that come with the project, by name, in Caffe or where it is not installed by onnxruntime.

See :meth:`objseg.methods.segmenter.Segmenter.from_pretrained`.
"""

import importlib.util
import logging
import os
from pathlib import Path

from objseg.errors import UserError
from objseg.files import CACHE, REPOSITORY, sha256
from objseg.methods.nets import deploy_beside, vocabulary_beside, weights_in
from objseg.methods.onnx_segmenter import OnnxSegmenter
from objseg.methods.ours import CaffeSegmenter
from objseg.methods.segmenter import Segmenter

ENGINES = ("caffe", "onnx")
MODELS = REPOSITORY / "models"
METHOD = "highres"

log = logging.getLogger(__name__)


def open_pretrained(name: str, engine: str | None = None) -> Segmenter:
    """Open the model ``name``; see :meth:`objseg.methods.segmenter.Segmenter.from_pretrained`."""
    names = sorted(path.parent.name for path in MODELS.glob(f"*/{METHOD}_iter_*.caffemodel"))
    if name not in names:
        raise UserError(f"no pretrained model {name!r}; expected one of {', '.join(names)}")
    if engine not in (None, *ENGINES):
        raise UserError(f"no engine {engine!r}; expected one of {', '.join(ENGINES)}, or None")
    found = importlib.util.find_spec("caffe")
    has_caffe = found is not None and found.origin is not None  # a folder has no origin
    if engine == "caffe" and not has_caffe:
        raise UserError("engine 'caffe': Python finds no module caffe here; leave engine out, or "
                        "start Python in the Caffe environment: tools/caffe-env python")
    if engine == "caffe" or engine is None and has_caffe:
        os.environ.setdefault("GLOG_minloglevel", "2")  # Caffe would print thousands of lines
        return CaffeSegmenter.load(MODELS / name, METHOD)
    return OnnxSegmenter(_onnx_file(name))


def _onnx_file(name: str) -> Path:
    """Return the model as an ONNX file in the cache, where it is written at the first use."""
    weights = weights_in(MODELS / name, METHOD)
    path = CACHE / f"{name}-{sha256(weights)[:12]}.onnx"
    if not path.is_file():
        from objseg.export.model import save_model  # loads onnx

        log.info("the first use writes %s (75 MB)", path)
        deploy, vocabulary = deploy_beside(weights, METHOD), vocabulary_beside(weights, METHOD)
        save_model(deploy, weights, vocabulary, path, "float32")
    return path
