"""The images of a batch with their samples, in the order of training."""

from typing import NamedTuple

import numpy as np

from objseg.batches.order import BatchSettings, Order, open_split
from objseg.convnet.reader import ConvnetReader
from objseg.data.dataset import Sample
from objseg.data.expressions import mirror
from objseg.data.images import ImageError
from objseg.errors import UserError


class Group(NamedTuple):
    """Samples of one image: its BGR pixels uint8 (H, W, 3) and {region id: bool (H, W)}.

    ``position`` is the place in the order that the group was read for. Where ``mirrored`` the
    batch is to have the mirror image; ``maps`` (C, h, w) are then those of the mirror image, too.
    They take the place of ``pixels`` where a convnet is given.
    """

    position: int
    samples: list[Sample]
    pixels: np.ndarray | None
    masks: dict[str, np.ndarray]
    mirrored: bool = False
    maps: np.ndarray | None = None

    def said(self) -> list[str]:
        """Return the expressions of the samples, as they are true of the picture."""
        expressions = [sample.expression for sample in self.samples]
        return [mirror(expression) for expression in expressions] if self.mirrored else expressions


class ReadableGroups:
    """Read groups of ``group_size`` samples of an image, see :class:`Order`.

    With ``convnet``, a folder of :mod:`objseg.convnet`, they have maps in place of pixels; with
    ``mirror`` half of them are mirrored, drawn from the seed and the position.

    A group whose image cannot be read is replaced by the next one in the order, so that the batches
    after it do not shift, whatever the number of workers.
    """

    def __init__(
        self, settings: BatchSettings, group_size: int | None, convnet: str | None = None,
        mirror: bool = False,
    ):
        self.split, self.seed, self.mirror = settings.split, settings.seed, mirror
        self.dataset, self.samples = open_split(settings)
        if self.dataset.annotations_only:
            raise UserError(
                f"{self.dataset.directory}: prepared with --annotations-only; training needs "
                "images and masks: run tools/prepare_referit.py without it"
            )
        self.order = Order(self.samples, group_size, settings.seed)
        self.convnet = None
        if convnet:
            self.convnet = ConvnetReader(convnet, self.dataset)
            images = [image for image in self.dataset.images(self.split) if image.regions]
            self.convnet.require(images)  # now, not hours into the training

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
                return self._group(position, samples)
            except ImageError as error:
                unreadable.append(str(error))
        raise ImageError(
            f"{self.dataset.directory}: not one image of the {self.split} split can be read; the "
            f"last problem: {unreadable[-1]}"
        )

    def _group(self, position, samples):
        image = samples[0].image
        # of its own seed: the order stays the same with and without
        mirrored = self.mirror and np.random.RandomState([self.seed, position, 1]).rand() < 0.5
        if self.convnet:
            maps, masks = self.convnet.read(image, mirrored), self.dataset.masks(image)
            return Group(position, samples, None, masks, mirrored, maps)
        return Group(position, samples, *self.dataset.pixels_and_masks(image), mirrored)
