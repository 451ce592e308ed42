"""Training batches from a prepared data set, a pure function of (settings, batch number)."""

from dataclasses import dataclass

import numpy as np

from objseg.data.dataset import Dataset
from objseg.data.frequent_words import FrequentWords
from objseg.data.images import ImageError
from objseg.errors import UserError
from objseg.geometry import coarse_label, resize_and_pad, resize_and_pad_mask


def check_counts(settings, *names):
    """Raise UserError unless the fields ``names`` are whole numbers of at least 1."""
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} is {value!r}, expected a whole number of at least 1")


def check_seed(settings):
    """Raise UserError unless the field ``seed`` is one that numpy and Caffe take."""
    seed = settings.seed
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UserError(f"seed is {seed!r}, expected a whole number from 0 to 2147483647")


class SharedImages:
    """The part that settings with ``batch`` and ``expressions_per_image`` have in common."""

    def check_sharing(self):
        """Raise UserError unless the batch divides into images."""
        if self.batch % self.expressions_per_image:
            raise UserError(
                f"a batch of {self.batch} expressions does not divide into images with "
                f"{self.expressions_per_image} expressions each"
            )

    @property
    def images(self):
        """Images I in a batch."""
        return self.batch // self.expressions_per_image


@dataclass(frozen=True)
class BatchSettings(SharedImages):
    """The contents of a batch; the keys of the data layer's ``param_str``.

    ``data``: prepared data set; ``split``: train, val, trainval or test; ``batch``: expressions N
    in a batch, ``expressions_per_image`` K of them on one image; ``input``: side S of the image in
    pixels; ``words``: steps T; ``vocabulary``: rows of the embedding; ``label``: side of the label
    map, S or a divisor of it, with ``label_rule`` any or majority (see
    :func:`objseg.geometry.coarse_label`); ``label_words``: label every word of the vocabulary
    instead of one expression, or the ``frequent_words`` most frequent ones if that is above 0 (see
    :class:`objseg.data.frequent_words.FrequentWords`), with ``batch`` images in a batch; ``seed``
    of the order; ``workers`` processes.
    """

    data: str
    split: str
    batch: int
    input: int
    words: int
    vocabulary: int
    label: int
    label_rule: str = "any"
    label_words: bool = False
    frequent_words: int = 0
    expressions_per_image: int = 1
    seed: int = 1
    workers: int = 1

    def __post_init__(self):
        check_counts(self, "batch", "input", "words", "vocabulary", "label",
                     "expressions_per_image", "workers")
        check_seed(self)
        self.check_sharing()
        if self.input % self.label:
            raise UserError(
                f"a label of side {self.label} does not divide an input of side {self.input}"
            )
        if self.label_rule not in ("any", "majority"):
            raise UserError(f"label_rule is {self.label_rule!r}, expected 'any' or 'majority'")


class Order:
    """The groups of samples in the order of training.

    A group is ``group_size`` samples of one image, or all of them if that is None. Every epoch
    shuffles the groups, and how an image's samples fall into groups, without replacement; an image
    whose samples do not fill its last group repeats some. The order depends on the seed alone.
    """

    def __init__(self, samples, group_size, seed):
        self.by_image = {}
        for index, sample in enumerate(samples):
            self.by_image.setdefault(sample.image.id, []).append(index)
        self.group_size, self.seed = group_size, seed
        self.length = sum(self._group_count(s) for s in self.by_image.values())
        self._epoch, self._groups = None, None

    def __len__(self):
        """Groups in an epoch."""
        return self.length

    def group(self, position):
        """Sample indices (a list) of the group at ``position`` of the endless stream."""
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


def check_vocabulary(dataset, rows):
    """Raise UserError when the data set has more words than the net's embedding has ``rows``."""
    if len(dataset.vocabulary) > rows:
        raise UserError(
            f"{dataset.directory}: a vocabulary of {len(dataset.vocabulary)} words is larger "
            f"than the net's embedding of {rows} rows; generate the net with a larger "
            "--vocabulary-size or prepare the data with a smaller vocabulary"
        )


def no_samples(dataset, split):
    """The message for a split without samples."""
    return (
        f"{dataset.directory}: the {split} split has no samples; give it some in its split list "
        "and prepare the data set again (tools/train.py does without val)"
    )


class BatchMaker:
    """Makes batch number ``b`` of the endless stream: ``maker(b)`` returns a dict of arrays.

    image (I, 3, S, S) uint8 BGR, not yet mean-subtracted; tokens (T, N) int32; continuation (T, N)
    float32; label (N, 1, h, w) bool, or (I, V, h, w) with ``label_words``; image_index (N,) int32;
    ``samples``, their names (str); and ``unreadable``, messages about images that could not be
    read. Such an image's group is replaced by the next one in the order, so the stream stays the
    same for any number of workers.
    """

    def __init__(self, settings):
        self.settings = settings
        dataset = self.dataset = Dataset(settings.data)
        check_vocabulary(dataset, settings.vocabulary)
        self.samples = dataset.samples(settings.split)
        if not self.samples:
            raise UserError(no_samples(dataset, settings.split))
        if dataset.image_dir is None:
            raise UserError(
                f"{dataset.directory}: prepared with --annotations-only; training needs images and "
                "masks: run tools/prepare_referit.py without it"
            )
        self.labelled = dataset.vocabulary
        if settings.frequent_words:
            self.labelled = FrequentWords.of(dataset, settings.frequent_words)
        # A word label takes all the samples of an image together.
        group_size = None if settings.label_words else settings.expressions_per_image
        self.order = Order(self.samples, group_size, settings.seed)

    @property
    def shapes(self):
        """Shapes of what the data layer has tops for, {name: shape} in their order."""
        settings, N = self.settings, self.settings.batch
        image = {"image": (settings.images, 3, settings.input, settings.input)}
        side = (settings.label, settings.label)
        if settings.label_words:
            words = settings.frequent_words or settings.vocabulary
            return {**image, "label": (settings.images, words) + side}
        text = {"tokens": (settings.words, N), "continuation": (settings.words, N)}
        shared = {"image_index": (N,)} if settings.expressions_per_image > 1 else {}
        return {**image, **text, "label": (N, 1) + side, **shared}

    def __call__(self, batch):
        """Make batch number ``batch``, from 0."""
        settings, unreadable, parts = self.settings, [], []
        for position in range(batch * settings.images, (batch + 1) * settings.images):
            parts.append(self._readable_part(position, unreadable))
        result = {key: np.stack([part[key] for part in parts]) for key in ("image", "label")}
        result["samples"] = [str(sample) for part in parts for sample in part["samples"]]
        result["unreadable"] = unreadable
        if not settings.label_words:
            result["label"] = np.concatenate(result["label"])[:, None]
            expressions = [sample.expression for part in parts for sample in part["samples"]]
            result.update(self.dataset.vocabulary.encode_all(expressions, settings.words))
            result["image_index"] = np.repeat(
                np.arange(settings.images, dtype=np.int32), settings.expressions_per_image
            )
        return result

    def _readable_part(self, position, unreadable):
        for attempt in range(len(self.order)):
            try:
                return self._part(self.order.group(position + attempt))
            except ImageError as error:
                unreadable.append(str(error))
        raise ImageError(
            f"{self.dataset.directory}: not one image of the {self.settings.split} split can be "
            f"read; the last problem: {unreadable[-1]}"
        )

    def _part(self, group):
        settings = self.settings
        samples = [self.samples[index] for index in group]
        image = samples[0].image
        pixels, masks = self.dataset.pixels_and_masks(image)
        label = self._word_label if settings.label_words else self._expression_label
        return {
            "image": resize_and_pad(pixels, settings.input).transpose(2, 0, 1),
            "label": label(samples, masks),
            "samples": samples,
        }

    def _label_map(self, mask):
        square = resize_and_pad_mask(mask, self.settings.input)
        return coarse_label(square, self.settings.label, self.settings.label_rule)

    def _expression_label(self, samples, masks):
        """Label maps (K, h, w) bool of the expressions' regions."""
        maps = {region: self._label_map(masks[region]) for region in {s.region.id for s in samples}}
        return np.stack([maps[s.region.id] for s in samples])

    def _word_label(self, samples, masks):
        """Label maps (V, h, w) bool: where some region stands that the word is said of."""
        (_, words, height, width) = self.shapes["label"]
        label = np.zeros((words, height, width), bool)
        for sample in samples:
            region = self._label_map(masks[sample.region.id])
            label[self.labelled.outputs(sample.expression)] |= region
        return label
