"""The model in use: an image and expressions in, response maps on the image out."""

import re
import subprocess
from pathlib import Path

import caffe
import numpy as np

from objseg.geometry import Placement, net_input, resize_and_pad, score_on_image
from objseg.weights import WeightsError, check_fits

EXPRESSIONS_AT_ONCE = 16
"""Expressions that share one pass through the head; bounds the memory, not the result."""


def use_device(gpu=None):
    """Compute on GPU number ``gpu``, or on the CPU if it is None.

    Raises ValueError when the GPU cannot be used.
    """
    if gpu is None:
        caffe.set_mode_cpu()
        return
    # caffe.set_device kills the process where it fails, so another process tries it first.
    probe = subprocess.run(
        ["caffe", "device_query", "-gpu", str(gpu)], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )
    if gpu < 0 or probe.returncode:
        cause = re.search(r"\] (.*(?:GPU|error|CUDA|cuda).*)", probe.stderr)
        raise ValueError(
            f"--gpu {gpu}: this Caffe cannot use it"
            + (f" ({cause.group(1)})" if cause else "")
            + "; use --cpu, or a Caffe built with CUDA on a machine with that GPU"
        )
    caffe.set_device(gpu)
    caffe.set_mode_gpu()


class Segmenter:
    """A trained net of either stage.

    ``deploy`` is a deploy prototxt, ``weights`` a caffemodel (None keeps the random start),
    ``vocabulary`` an :class:`objseg.expressions.Vocabulary`, ``gpu`` a device number or None.
    Raises WeightsError or ValueError when they do not belong together.
    """

    def __init__(self, deploy, weights, vocabulary, gpu=None):
        for path in filter(None, (deploy, weights)):
            if not Path(path).is_file():
                raise WeightsError(f"{path}: no such file")
        use_device(gpu)
        self.net = caffe.Net(str(deploy), caffe.TEST)
        if weights is not None:
            missing = check_fits(self.net, weights)
            if missing:
                raise WeightsError(f"{weights}: no weights for the layers {', '.join(missing)}")
            self.net.copy_from(str(weights))
        rows = self.net.params["embedding"][0].shape[0]
        if len(vocabulary) > rows:
            raise ValueError(
                f"a vocabulary of {len(vocabulary)} words for an embedding of {rows} rows: "
                f"the vocabulary and {deploy} do not belong together"
            )
        self.vocabulary = vocabulary
        self.input_size = self.net.blobs["image"].shape[2]
        self.words = self.net.blobs["tokens"].shape[0]
        layers = list(self.net._layer_names)
        self._head = layers[layers.index("fc8") + 1]

    def responses(self, image, expressions):
        """Iterate over the net's response maps, float32 (h, w), one an expression.

        ``image`` is BGR uint8 (H, W, 3). The trunk runs once, the head for up to
        ``EXPRESSIONS_AT_ONCE`` expressions together. A score above 0 means foreground. Take all
        the maps of one image before asking for another's.
        """
        blobs = self.net.blobs
        blobs["image"].data[0] = net_input(resize_and_pad(image, self.input_size))
        start = None
        for first in range(0, len(expressions), EXPRESSIONS_AT_ONCE):
            chunk = expressions[first:first + EXPRESSIONS_AT_ONCE]
            self._set_expressions(chunk)
            # The trunk's features stay in their blob for every chunk after the first.
            output = self.net.forward(start=start)
            start = self._head
            (scores,) = output.values()
            yield from scores[:, 0].copy()

    def scores(self, image, expressions):
        """Iterate over response maps on the image itself, float32 (H, W), one an expression."""
        placement = Placement(image.shape[0], image.shape[1], self.input_size)
        for response in self.responses(image, expressions):
            yield score_on_image(response, placement)

    def _set_expressions(self, expressions):
        blobs, count = self.net.blobs, len(expressions)
        if blobs["tokens"].shape[1] != count:
            blobs["tokens"].reshape(self.words, count)
            blobs["continuation"].reshape(self.words, count)
            blobs["image_index"].reshape(count)
            self.net.reshape()
        for n, expression in enumerate(expressions):
            tokens, continuation = self.vocabulary.encode(expression, self.words)
            blobs["tokens"].data[:, n] = tokens
            blobs["continuation"].data[:, n] = continuation
        blobs["image_index"].data[...] = np.zeros(count)
