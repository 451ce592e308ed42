"""The images of a batch with their samples, in the order of training."""

from typing import NamedTuple

import numpy as np

from objseg.batches.order import BatchSettings, Order, open_split
from objseg.convnet.reader import ConvnetReader
from objseg.data.dataset import Sample
from objseg.data.expressions import mirror
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


class Groups:
    """Read groups of ``group_size`` samples of an image, see :class:`Order`.

    With ``convnet``, a folder of :mod:`objseg.convnet`, they have maps in place of pixels; with
    ``mirror`` half of them are mirrored, drawn from the seed and the position.
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

    def read(self, batch: int, count: int) -> list[Group]:
        """Read the ``count`` groups of batch number ``batch``.

        Raises a UserError that names a picture, masks or maps which cannot be read.
        """
        return [self._group(position) for position in range(batch * count, (batch + 1) * count)]

    def _group(self, position):
        samples = [self.samples[index] for index in self.order.group(position)]
        image = samples[0].image
        # of its own seed: the order stays the same with and without
        mirrored = self.mirror and np.random.RandomState([self.seed, position, 1]).rand() < 0.5
        if self.convnet:
            maps, masks = self.convnet.read(image, mirrored), self.dataset.masks(image)
            return Group(position, samples, None, masks, mirrored, maps)
        return Group(position, samples, *self.dataset.pixels_and_masks(image), mirrored)
