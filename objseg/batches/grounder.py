"""Training batches of GroundeR: an image's candidate boxes, phrases, and the box that is meant."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from objseg.batches.features import FeatureBatchMaker, FeatureSettings
from objseg.batches.ours import check_counts
from objseg.regions.boxes import SPATIAL, box_iou, with_position

LEAST_IOU = 0.5
"""A sample is learnt from if a candidate box has at least this IoU with its region's box."""


@dataclass(frozen=True)
class GrounderSettings(FeatureSettings):
    """FeatureSettings, and ``candidates``: boxes B of every image."""

    candidates: int = 100

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, "candidates")


class GrounderBatchMaker(FeatureBatchMaker):
    """Batches of phrases with B candidate boxes each.

    features (N B, D_fc7 + 8), B rows a sample; tokens and continuation (T, N) as in
    :meth:`objseg.data.expressions.Vocabulary.encode_all`; sample_index (N B,), the sample of every
    row; label (N,), the candidate of best IoU with the region's box. An image with fewer candidates
    repeats them from the first, and the label is the first of equal ones. Samples without a
    candidate of IoU 0.5 are left out. The settings are :class:`GrounderSettings`.
    """

    @property
    def shapes(self):
        """Shapes of what the data layer has tops for, {name: shape} in their order."""
        N, rows = self.settings.batch, self.settings.batch * self.settings.candidates
        text = (self.settings.words, N)
        return {
            "features": (rows, self.features.fc7 + SPATIAL), "tokens": text, "continuation": text,
            "sample_index": (rows,), "label": (N,),
        }

    def usable(self, samples):
        """Those whose region has a candidate box; finds the labels."""
        self.labels = {}
        for image, _ in groupby(sample.image for sample in samples):
            (boxes,) = self.features.read(image.id, "boxes")
            for region in image.regions:
                overlap = box_iou(boxes[:self.settings.candidates], region.box)
                if overlap.max() >= LEAST_IOU:
                    self.labels[region.id] = int(overlap.argmax())
        found = [sample for sample in samples if sample.region.id in self.labels]
        if len(found) < len(samples):
            self.left_out.append(
                f"{len(samples) - len(found)} of {len(samples)} samples of the "
                f"{self.settings.split} split, for whose region no box of IoU {LEAST_IOU} is "
                "proposed"
            )
        return found

    def arrays(self, samples):
        """The tops for N samples."""
        settings = self.settings
        return {
            "features": np.concatenate([self._features(sample.image) for sample in samples]),
            **self.dataset.vocabulary.encode_all(
                [sample.expression for sample in samples], settings.words
            ),
            "sample_index": np.repeat(np.arange(settings.batch), settings.candidates),
            "label": np.array([self.labels[sample.region.id] for sample in samples]),
        }

    def _features(self, image):
        boxes, fc7 = self.features.read(image.id, "boxes", "fc7")
        features = with_position(fc7, boxes, image.width, image.height)
        return features[np.resize(np.arange(len(boxes)), self.settings.candidates)]
