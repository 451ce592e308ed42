"""GroundeR [12], supervised: the candidate box that attention chooses (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.methods.best_box import check_width, open_best_box
from objseg.regions.boxes import with_position
from objseg.regions.features import RegionFeatures


class GrounderScorer:
    """Scores boxes with GroundeR's net; see :func:`objseg.methods.best_box.open_best_box`."""

    def __init__(self, net, vocabulary):
        self.net, self.vocabulary = net, vocabulary
        self.words = net.blobs["tokens"].shape[0]

    def __call__(self, regions: RegionFeatures, expressions: list[str]) -> np.ndarray:
        """Return the scores of B boxes for N expressions, before the softmax: float32 (N, B)."""
        blobs, N, B = self.net.blobs, len(expressions), len(regions.boxes)
        features = with_position(regions.fc7, regions.boxes, regions.width, regions.height)
        check_width(blobs["features"], features)
        given = {
            "features": features,
            **self.vocabulary.encode_all(expressions, self.words),
            "region_index": np.tile(np.arange(B), N),
            "sample_index": np.repeat(np.arange(N), B),
        }
        for name, array in given.items():
            blobs[name].reshape(*array.shape)
        self.net.reshape()
        for name, array in given.items():
            blobs[name].data[...] = array
        return self.net.forward()["pair_scores"].reshape(N, B).copy()


open_boxes = partial(open_best_box, GrounderScorer)
