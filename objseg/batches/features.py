"""Batches of box features: expressions in the order of training, features from disk."""

import logging
from dataclasses import dataclass

from objseg.batches.order import ExpressionSettings, Order, check_vocabulary, open_split
from objseg.data.dataset import Sample
from objseg.errors import UserError
from objseg.regions.features import FeatureReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(ExpressionSettings):
    """Settings of a model over the features of boxes that are kept in the folder ``features``."""

    features: str


class FeatureBatchMaker:
    """Makes the batches of :class:`FeatureSettings`; see :mod:`objseg.batches`.

    A subclass says which samples are :meth:`usable` and which :meth:`arrays` they make.
    """

    def __init__(self, settings: FeatureSettings):
        self.settings = settings
        self.dataset, samples = open_split(settings)
        check_vocabulary(self.dataset, settings.vocabulary)
        reader = self.features = FeatureReader(settings.features)
        reader.check(self.dataset)
        self.shapes = settings.shapes(reader.fc7, reader.fc8)
        for sample in samples:  # now, not hours into the training
            reader.require(sample.image.id)
        self.left_out = []
        self.samples = self.usable(samples)
        for message in self.left_out:
            logger.warning("skipped: %s", message)
        if not self.samples:
            raise UserError(
                f"{self.dataset.directory}: not one of the {len(samples)} samples of the "
                f"{settings.split} split can be used: {'; '.join(self.left_out)}"
            )
        self.order = Order(self.samples, 1, settings.seed)

    def __call__(self, batch: int) -> dict:
        """Make batch number ``batch``, from 0."""
        N = self.settings.batch
        indices = [self.order.group(n)[0] for n in range(batch * N, (batch + 1) * N)]
        samples = [self.samples[index] for index in indices]
        names = [str(sample) for sample in samples]
        return {**self.arrays(samples), "samples": names}

    def usable(self, samples: list[Sample]) -> list[Sample]:
        """Return those of ``samples`` to train on; add to ``left_out`` why others are not."""
        return samples

    def arrays(self, samples: list[Sample]) -> dict:
        """Return {top: array} for the N samples of a batch."""
        raise NotImplementedError
