"""Training batches of the nets that score words: images, and a label map for each word."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.groups import Groups
from objseg.batches.label_maps import LabelMapSettings
from objseg.batches.order import check_vocabulary
from objseg.data.frequent_words import FrequentWords


@dataclass(frozen=True, kw_only=True)
class PerWordSettings(LabelMapSettings):
    """The parameters of python_layers/per_word_data.py."""

    outputs: int
    all_words: bool = False

    def shapes(self, groups: Groups) -> dict[str, tuple]:
        """Return the tops' shapes, {name: shape} in their order."""
        return {
            **self.picture_shape(self.batch, groups),
            "label": (self.batch, self.outputs, self.label, self.label),
        }


class PerWordBatchMaker:
    """Makes the batches of :class:`PerWordSettings`; see :mod:`objseg.batches`.

    ``words`` are the FrequentWords of the data set, or its Vocabulary with ``all_words``.
    """

    def __init__(self, settings: PerWordSettings):
        self.settings = settings
        self.groups = settings.groups(group_size=None)
        self.shapes = settings.shapes(self.groups)
        if settings.all_words:
            self.words = self.groups.dataset.vocabulary
            check_vocabulary(self.groups.dataset, settings.outputs)
        else:
            self.words = FrequentWords.of(self.groups.dataset, settings.outputs)

    def __call__(self, batch: int) -> dict:
        """Make batch number ``batch``, from 0."""
        settings = self.settings
        groups = self.groups.read(batch, settings.batch)
        label = np.zeros(self.shapes["label"], bool)
        for maps, group in zip(label, groups):
            for sample, expression in zip(group.samples, group.said()):
                maps[self.words.outputs(expression)] |= settings.label_map(group, sample.region.id)
        return {
            **settings.pictures(groups),
            "label": label,
            "samples": [str(sample) for group in groups for sample in group.samples],
        }
