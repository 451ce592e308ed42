"""The data layer: batches of images, expressions and label maps from a prepared data set."""

import sys
import time
from dataclasses import MISSING, fields

import caffe
import numpy as np

from objseg import layer_parameters
from objseg.batches import BatchMaker, BatchSettings
from objseg.geometry import MEAN_BGR
from objseg.prefetch import Prefetcher

REQUIRED = [f.name for f in fields(BatchSettings) if f.default is MISSING]
OPTIONAL = {f.name: f.default for f in fields(BatchSettings) if f.default is not MISSING}


class ReferitDataLayer(caffe.Layer):
    """Streams batches that background processes prepare while the net computes.

    No bottoms. Tops, for N expressions on I images of side S, T words:

    - image (I, 3, S, S), BGR minus the channel means, padding zero before the subtraction;
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - label (N, 1, h, w), 0 or 1;
    - image_index (N), the image of each expression: only if there is a fifth top.

    With ``label_words`` the tops are image and label (I, V, h, w) alone. The parameters are
    :class:`objseg.batches.BatchSettings`. The stream starts at batch 0; :meth:`seek` moves it.

    Example::

        layer { name: "data" type: "Python" top: "image" top: "tokens" top: "continuation"
                top: "label" include { phase: TRAIN }
                python_param { module: "referit_data" layer: "ReferitDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 10,
                    "input": 512, "words": 20, "vocabulary": 8803, "label": 16}' } }
    """

    def setup(self, bottom, top):
        """Read the data set's index and start the workers."""
        name = type(self).__name__
        parameters = layer_parameters.parse(name, self.param_str, REQUIRED, **OPTIONAL)
        settings = BatchSettings(**parameters)
        if settings.label_words:
            names = ["image", "label"]
        else:
            names = ["image", "tokens", "continuation", "label"]
            if settings.expressions_per_image > 1:
                names.append("image_index")
        layer_parameters.check_count(name, "bottoms", bottom, 0)
        layer_parameters.check_count(name, "tops", top, len(names))
        self.settings, self.names = settings, names
        self.maker = BatchMaker(settings)
        self.reported = set()
        self.stream = None
        self.seconds = 0.0
        """Time spent in forward so far: waiting for the workers, and copying."""

        S, N, T = settings.input, settings.batch, settings.words
        labels = (settings.images, settings.vocabulary) if settings.label_words else (N, 1)
        shapes = {
            "image": (settings.images, 3, S, S),
            "tokens": (T, N),
            "continuation": (T, N),
            "label": labels + (settings.label, settings.label),
            "image_index": (N,),
        }
        for index, key in enumerate(names):
            top[index].reshape(*shapes[key])
        self.seek(0)

    def seek(self, batch):
        """Go on with batch number ``batch`` of the stream; training resumes with this."""
        if self.stream is not None:
            self.stream.close()
        self.stream = Prefetcher(self.maker, self.settings.workers, first=batch)

    def reshape(self, bottom, top):
        """Keep the shapes: they are fixed by the parameters."""

    def forward(self, bottom, top):
        """Copy the next batch into the tops."""
        began = time.perf_counter()
        batch = next(self.stream)
        for message in batch["unreadable"]:
            if message not in self.reported:
                self.reported.add(message)
                print(f"skipped: {message}", file=sys.stderr, flush=True)
        for index, key in enumerate(self.names):
            if key == "image":
                np.subtract(batch[key], MEAN_BGR[:, None, None], out=top[index].data)
            else:
                top[index].data[...] = batch[key]
        self.seconds += time.perf_counter() - began

    def backward(self, top, propagate_down, bottom):
        """Data has no gradient."""
