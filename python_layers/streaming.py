"""The base of the data layers: a stream of batches that background processes prepare."""

import time
from dataclasses import MISSING, fields

import caffe
import numpy as np

from objseg.batches import layer_parameters
from objseg.caffe.command import resumed_batch
from objseg.errors import UserError
from objseg.geometry import MEAN_BGR
from objseg.parallel.prefetch import Prefetcher


class StreamingLayer(caffe.Layer):
    """Stream the batches of a maker while the net computes.

    A subclass names two classes: ``Settings``, a dataclass whose fields are the keys of
    ``param_str``, and ``Maker``, made from settings, see :mod:`objseg.batches`. Arrays of type
    uint8 are BGR pixels, from which the channel means are subtracted on their way into the top.

    The stream starts at batch 0, or where `caffe train -snapshot` goes on; :meth:`seek` moves it.
    ``seconds`` is the time spent in forward so far, waiting for the workers and copying;
    ``samples`` are the names (str) of the samples in the tops.
    """

    Settings = None
    Maker = None

    def setup(self, bottom, top):
        """Read the data set's index and start the workers."""
        known = {field.name: field.default for field in fields(self.Settings)}
        optional = {name: default for name, default in known.items() if default is not MISSING}
        required = [name for name in known if name not in optional]
        parameters = layer_parameters.read(self, bottom, top, (0, len(top)), required, **optional)
        self.settings = self.Settings(**parameters)
        self.maker = self.Maker(self.settings)
        if len(top) != len(self.maker.shapes):
            raise UserError(
                f"{type(self).__name__}: {len(top)} tops, expected {', '.join(self.maker.shapes)}"
            )
        self.samples, self.seconds = [], 0.0
        self.stream = None
        for index, shape in enumerate(self.maker.shapes.values()):
            top[index].reshape(*shape)
        self.seek(resumed_batch() if self.phase == caffe.TRAIN else 0)

    def seek(self, batch, part=0, parts=1):
        """Go on with batch number ``batch`` of the stream; training resumes with this.

        Of ``parts`` layers that share the stream this one has number ``part``: its batch b is batch
        b * parts + part of the whole, so that together they see what one layer with a batch as
        large as theirs together sees.
        """
        if self.stream is not None:
            self.stream.close()
        self.stream = Prefetcher(
            lambda b: self.maker(b * parts + part), self.settings.workers, first=batch
        )

    def reshape(self, bottom, top):
        """Keep the shapes: they are fixed by the parameters."""

    def forward(self, bottom, top):
        """Copy the next batch into the tops."""
        began = time.perf_counter()
        batch = next(self.stream)
        self.samples = batch["samples"]
        for index, name in enumerate(self.maker.shapes):
            if batch[name].dtype == np.uint8:
                np.subtract(batch[name], MEAN_BGR[:, None, None], out=top[index].data)
            else:
                top[index].data[...] = batch[name]
        self.seconds += time.perf_counter() - began

    def backward(self, top, propagate_down, bottom):
        """Data has no gradient."""
