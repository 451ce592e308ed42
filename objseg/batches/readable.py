"""The images of a batch with their samples, in the order of training."""

from typing import NamedTuple

import numpy as np

from objseg.batches.order import BatchSettings, Order, open_split
from objseg.data.dataset import Sample
from objseg.data.images import ImageError
from objseg.errors import UserError


class Group(NamedTuple):
    """Samples of one image: its BGR pixels uint8 (H, W, 3) and {region id: bool (H, W)}.

    ``position`` is the place in the order that the group was read for.
    """

    position: int
    samples: list[Sample]
    pixels: np.ndarray
    masks: dict[str, np.ndarray]


class ReadableGroups:
    """Read groups of ``group_size`` samples of an image, see :class:`Order`.

    A group whose image cannot be read is replaced by the next one in the order, so that the batches
    after it do not shift, whatever the number of workers.
    """

    def __init__(self, settings: BatchSettings, group_size: int | None):
        self.split = settings.split
        self.dataset, self.samples = open_split(settings)
        if self.dataset.annotations_only:
            raise UserError(
                f"{self.dataset.directory}: prepared with --annotations-only; training needs "
                "images and masks: run tools/prepare_referit.py without it"
            )
        self.order = Order(self.samples, group_size, settings.seed)

    def read(self, batch: int, count: int) -> tuple[list[Group], list[str]]:
        """Read the ``count`` groups of batch number ``batch``.

        Returns them and messages about the images that could not be read. Raises ImageError where
        not one image of the split can be.
        """
        unreadable = []
        positions = range(batch * count, (batch + 1) * count)
        return [self._read(position, unreadable) for position in positions], unreadable

    def _read(self, position, unreadable):
        for attempt in range(len(self.order)):
            samples = [self.samples[index] for index in self.order.group(position + attempt)]
            try:
                return Group(position, samples, *self.dataset.pixels_and_masks(samples[0].image))
            except ImageError as error:
                unreadable.append(str(error))
        raise ImageError(
            f"{self.dataset.directory}: not one image of the {self.split} split can be read; the "
            f"last problem: {unreadable[-1]}"
        )
