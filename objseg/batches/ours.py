"""Training batches of the paper's model: images, expressions, and a label map for each."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.groups import Groups
from objseg.batches.label_maps import LabelMapSettings
from objseg.batches.order import ExpressionSettings, check_vocabulary, image_count


@dataclass(frozen=True, kw_only=True)
class OursSettings(LabelMapSettings, ExpressionSettings):
    """The parameters of python_layers/ours_data.py."""

    expressions_per_image: int = 1

    def __post_init__(self):
        super().__post_init__()
        image_count(self)

    def shapes(self, groups: Groups) -> dict[str, tuple]:
        """Return the tops' shapes, {name: shape} in their order."""
        text = (self.words, self.batch)
        shapes = {
            **self.picture_shape(image_count(self), groups),
            "tokens": text,
            "continuation": text,
            "label": (self.batch, 1, self.label, self.label),
        }
        if self.expressions_per_image > 1:
            shapes["image_index"] = (self.batch,)
        return shapes


class OursBatchMaker:
    """Makes the batches of :class:`OursSettings`; see :mod:`objseg.batches`."""

    def __init__(self, settings: OursSettings):
        self.settings = settings
        self.groups = settings.groups(settings.expressions_per_image)
        self.shapes = settings.shapes(self.groups)
        check_vocabulary(self.groups.dataset, settings.vocabulary)

    def __call__(self, batch: int) -> dict:
        """Make batch number ``batch``, from 0."""
        settings, images = self.settings, image_count(self.settings)
        groups = self.groups.read(batch, images)
        labels = [
            settings.label_map(group, sample.region.id)
            for group in groups for sample in group.samples
        ]
        return {
            **settings.pictures(groups),
            **self.groups.dataset.vocabulary.encode_all(
                [expression for group in groups for expression in group.said()], settings.words
            ),
            "label": np.stack(labels)[:, None],
            "image_index": np.repeat(
                np.arange(images, dtype=np.int32), settings.expressions_per_image
            ),
            "samples": [str(sample) for group in groups for sample in group.samples],
        }
