"""The settings that the batches of every model have, and the order of training."""

from dataclasses import dataclass, fields

import numpy as np

from objseg.data.dataset import Dataset, Sample
from objseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """The parameters of every data layer: what its ``param_str`` may say.

    ``data`` is the folder of a prepared data set, ``split`` train, val, trainval or test, ``batch``
    the number N of expressions in a batch (of images in per_word), ``seed`` that of the order, and
    ``workers`` the number of processes that make batches. Raises UserError naming a field that is
    out of range.
    """

    data: str
    split: str
    batch: int
    seed: int = 1
    workers: int = 1

    def __post_init__(self):
        for field in fields(self):
            value, lowest = getattr(self, field.name), 0 if field.name == "seed" else 1
            if field.type is int and (not isinstance(value, int) or not lowest <= value < 2**31):
                raise UserError(
                    f"{field.name} is {value!r}, expected a whole number of at least {lowest}, "
                    f"below {2**31}"
                )


@dataclass(frozen=True, kw_only=True)
class ExpressionSettings(BatchSettings):
    """BatchSettings of a model that reads expressions.

    ``words`` is the number T of the LSTM's steps, ``vocabulary`` the rows of the embedding.
    """

    words: int
    vocabulary: int


def image_count(settings: ExpressionSettings) -> int:
    """Return the number I of images in a batch with ``expressions_per_image`` on each.

    Raises UserError where the batch does not divide.
    """
    if settings.batch % settings.expressions_per_image:
        raise UserError(
            f"a batch of {settings.batch} expressions does not divide into images with "
            f"{settings.expressions_per_image} expressions each"
        )
    return settings.batch // settings.expressions_per_image


def open_split(settings: BatchSettings) -> tuple[Dataset, list[Sample]]:
    """Open the data set of ``settings``; returns it and the samples of the split.

    Raises UserError where there are none.
    """
    dataset = Dataset(settings.data)
    samples = dataset.samples(settings.split)
    if not samples:
        raise UserError(
            f"{dataset.directory}: the {settings.split} split has no samples; give it some in its "
            "split list and prepare the data set again (tools/train.py does without val)"
        )
    return dataset, samples


def check_vocabulary(dataset: Dataset, rows: int) -> None:
    """Raise UserError when the data set has more words than the net has ``rows`` for them."""
    if len(dataset.vocabulary) > rows:
        raise UserError(
            f"{dataset.directory}: a vocabulary of {len(dataset.vocabulary)} words is larger "
            f"than the net's embedding of {rows} rows; generate the net with a larger "
            "--vocabulary-size or prepare the data with a smaller vocabulary"
        )


class Order:
    """The groups of samples in the order of training.

    A group is ``group_size`` samples of one image, or all of them if that is None. Every epoch
    shuffles the groups, and how an image's samples fall into groups, without replacement; an image
    whose samples do not fill its last group repeats some. The order depends on the seed alone.
    """

    def __init__(self, samples: list[Sample], group_size: int | None, seed: int):
        self.by_image = {}
        for index, sample in enumerate(samples):
            self.by_image.setdefault(sample.image.id, []).append(index)
        self.group_size, self.seed = group_size, seed
        self.length = sum(self._group_count(s) for s in self.by_image.values())
        self._epoch, self._groups = None, None

    def __len__(self) -> int:
        """Return the number of groups in an epoch."""
        return self.length

    def group(self, position: int) -> list[int]:
        """Return the indices of the samples of the group at ``position`` of the endless stream."""
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            self._groups, self._epoch = self._shuffle(epoch), epoch
        return self._groups[offset]

    def _group_count(self, samples):
        return 1 if self.group_size is None else -(-len(samples) // self.group_size)

    def _shuffle(self, epoch):
        random = np.random.RandomState([self.seed, epoch])
        groups = []
        for samples in self.by_image.values():
            count, size = self._group_count(samples), self.group_size or len(samples)
            # np.resize repeats the shuffled samples cyclically to fill the last group
            shuffled = np.resize(random.permutation(samples), count * size)
            groups.extend(shuffled.reshape(count, size).tolist())
        return [groups[i] for i in random.permutation(len(groups))]
