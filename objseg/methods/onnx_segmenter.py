"""The model of :mod:`objseg.methods.ours` from an ONNX file, without Caffe.

This module, and all that it imports, needs numpy, OpenCV, onnxruntime and tqdm alone.
"""

from pathlib import Path

import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.export.format import FORMAT
from objseg.export.session import REMEDY, open_session
from objseg.methods.segmenter import Segmenter


class OnnxSegmenter(Segmenter):
    """The model in a file of tools/export_onnx.py, run by onnxruntime on the CPU.

    ``threads`` is the number of threads, None for one per core. ``images`` is "photographs",
    "drawn" or "unknown": the kind that the model was trained on. Raises UserError where
    ``path`` is missing or is no such file.

    Example::

        segmenter = OnnxSegmenter("photo.onnx")
        segmenter.set_image(cv2.imread("photo.jpg"))
        masks, scores, responses = segmenter.predict(["sky", "red car"])
    """

    def __init__(self, path: str | Path, threads: int | None = None):
        self._session = open_session(path, threads)
        facts = self._session.get_modelmeta().custom_metadata_map
        if facts.get("format") != FORMAT:
            raise UserError(
                f"{path}: an ONNX file of another origin or version (format "
                f"{facts.get('format')!r}, expected {FORMAT!r}); {REMEDY}"
            )
        self.vocabulary = Vocabulary(facts["vocabulary"].split("\n")[:-1], path)
        self.images = facts["images"]
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        self.input_size, self.words = shapes["image"][0], shapes["tokens"][0]
        self._no_features = np.zeros([0, *shapes["known_features"][1:]], np.float32)
        self._no_image = np.zeros(shapes["image"], np.uint8)

    def _input_of(self, square):
        return square

    def _trunk(self, pixels):
        one = self.vocabulary.encode_all([""], self.words)["tokens"]
        return self._run("features", pixels, self._no_features, one)

    def _head(self, features, expressions):
        tokens = self.vocabulary.encode_all(expressions, self.words)["tokens"]
        return self._run("responses", self._no_image, features, tokens)

    def _run(self, output, image, known_features, tokens):
        inputs = {"image": image, "known_features": known_features, "tokens": tokens}
        return self._session.run([output], inputs)[0]
