"""Validation during training: overall IoU on images of the val split."""

from collections.abc import Callable

import numpy as np

from objseg.convnet.reader import ConvnetReader
from objseg.data.dataset import Dataset, Image
from objseg.metrics import areas, iou
from objseg.parallel.ranks import ALONE


class Validation:
    """Measures a net in training, after every ``every`` iterations and at the end.

    ``segmenter`` is an :class:`objseg.methods.ours.CaffeSegmenter` of the deploy net, which shares
    its weights with the net in training. The ``ranks`` share the ``images``. Where training reads
    maps of the convolutions, ``convnet`` is their ConvnetReader, and they are the net's input, too.
    Raises ConvnetError where an image has none.
    """

    def __init__(
        self, images: list[Image], dataset: Dataset, segmenter, every: int, ranks=ALONE,
        convnet: ConvnetReader | None = None,
    ):
        self.images, self.dataset, self.ranks = images[ranks.rank::ranks.size], dataset, ranks
        self.segmenter, self.every, self.convnet = segmenter, every, convnet
        if convnet:
            convnet.require(self.images)  # now, not hours into the training

    def overall_iou(self, stopped: Callable[[], bool] = lambda: False) -> float | None:
        """Score every expression of the images and return the overall IoU in [0, 1].

        Returns None when ``stopped()`` became true before the end. Raises a UserError that names a
        picture, masks or maps which cannot be read.
        """
        measured, given_up = np.zeros(2, np.int64), False
        for image in self.images:
            if stopped():
                given_up = True
                break
            shown, masks = self._shown(image), self.dataset.masks(image)
            pairs = [(masks[r.id], e) for r in image.regions for e in r.expressions]
            responses = self.segmenter.responses_of(shown, [said for _, said in pairs])
            for (mask, _), response in zip(pairs, responses):
                measured += areas(response > 0, mask)
        intersection, union, given_up = self.ranks.total(np.append(measured, given_up))
        return float(iou(intersection, union)) if union and not given_up else None

    def _shown(self, image):
        if self.convnet is None:
            return self.segmenter.prepare(self.dataset.pixels(image))
        return self.segmenter.placed(image.height, image.width, self.convnet.read(image))
