"""Training batches of GroundeR: an image's candidate boxes, phrases, and the box that is meant."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from objseg.batches.features import FeatureBatchMaker, FeatureSettings
from objseg.data.dataset import Image, Sample
from objseg.regions.boxes import BOX_FEATURES, box_iou, with_position
from objseg.regions.proposals import PROPOSALS

MATCH_IOU = 0.5
"""A phrase is learnt from if a candidate box has at least this IoU with its region's box."""


@dataclass(frozen=True, kw_only=True)
class GrounderSettings(FeatureSettings):
    """The parameters of python_layers/grounder_data.py."""

    candidates: int = PROPOSALS

    def shapes(self, fc7: int, fc8: int) -> dict[str, tuple]:
        """Return the tops' shapes, {name: shape} in their order, for widths of the features."""
        rows, text = self.batch * self.candidates, (self.words, self.batch)
        return {
            "features": (rows, fc7 + BOX_FEATURES), "tokens": text, "continuation": text,
            "sample_index": (rows,), "label": (self.batch,),
        }


class GrounderBatchMaker(FeatureBatchMaker):
    """Makes the batches of :class:`GrounderSettings`; see :mod:`objseg.batches`.

    An image with fewer than B candidates repeats them from the first, and the label is the first of
    equal ones. Samples without a candidate of IoU 0.5 are left out.
    """

    def usable(self, samples: list[Sample]) -> list[Sample]:
        """Return the samples whose region overlaps a candidate with IoU >= 0.5.

        Sets ``self.labels`` to {region id: index of the candidate of best IoU}.
        """
        self.labels = {}
        for image, _ in groupby(sample.image for sample in samples):
            (boxes,) = self.features.read(image.id, "boxes")
            for region in image.regions:
                overlap = box_iou(boxes[:self.settings.candidates], region.box)
                if overlap.max() >= MATCH_IOU:
                    self.labels[region.id] = int(overlap.argmax())
        found = [sample for sample in samples if sample.region.id in self.labels]
        if len(found) < len(samples):
            self.left_out.append(
                f"{len(samples) - len(found)} of {len(samples)} samples of the "
                f"{self.settings.split} split, for whose region no box of IoU {MATCH_IOU} is "
                "proposed"
            )
        return found

    def arrays(self, samples: list[Sample]) -> dict:
        """Return {top: array} for the N samples of a batch."""
        settings = self.settings
        return {
            "features": np.concatenate([self._features(sample.image) for sample in samples]),
            **self.dataset.vocabulary.encode_all(
                [sample.expression for sample in samples], settings.words
            ),
            "sample_index": np.repeat(np.arange(settings.batch), settings.candidates),
            "label": np.array([self.labels[sample.region.id] for sample in samples]),
        }

    def _features(self, image: Image) -> np.ndarray:
        boxes, fc7 = self.features.read(image.id, "boxes", "fc7")
        features = with_position(fc7, boxes, image.width, image.height)
        return features[np.resize(np.arange(len(boxes)), self.settings.candidates)]
