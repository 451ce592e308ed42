"""Batches of box features: expressions in the order of training, features from disk."""

from dataclasses import dataclass

from objseg.batches.ours import Order, check_counts, check_seed, check_vocabulary, no_samples
from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.regions.features import FeatureReader


@dataclass(frozen=True)
class FeatureSettings:
    """The contents of a batch; keys of the data layer's ``param_str``.

    ``data``: prepared data set; ``split``: train, val, trainval or test; ``batch``: expressions N
    in a batch; ``words``: steps T; ``vocabulary``: rows of the embedding; ``features``: folder of
    the features of boxes; ``seed`` of the order; ``workers`` processes.
    """

    data: str
    split: str
    batch: int
    words: int
    vocabulary: int
    features: str
    seed: int = 1
    workers: int = 1

    def __post_init__(self):
        check_counts(self, "batch", "words", "vocabulary", "workers")
        check_seed(self)


class FeatureBatchMaker:
    """Makes batch number ``b`` of the endless stream: ``maker(b)`` returns a dict of arrays.

    A subclass says which ``samples`` it can use and what ``arrays`` a list of samples makes; the
    dict has "samples" besides, their names (str), and "unreadable", messages about samples that are
    left out. The stream is the same for any number of workers.
    """

    def __init__(self, settings):
        self.settings = settings
        dataset = self.dataset = Dataset(settings.data)
        check_vocabulary(dataset, settings.vocabulary)
        self.features = FeatureReader(settings.features)
        self.features.check(dataset.directory)
        samples = dataset.samples(settings.split)
        if not samples:
            raise UserError(no_samples(dataset, settings.split))
        self.left_out = [
            self.features.unreadable[image.id] for image in dataset.images(settings.split)
            if image.id in self.features.unreadable
        ]
        readable = [s for s in samples if s.image.id not in self.features.unreadable]
        for sample in readable:  # now, not hours into the training
            self.features.require(sample.image.id)
        self.samples = self.usable(readable)
        if not self.samples:
            raise UserError(
                f"{dataset.directory}: not one of the {len(samples)} samples of the "
                f"{settings.split} split can be used: {'; '.join(self.left_out)}"
            )
        self.order = Order(self.samples, 1, settings.seed)

    def __call__(self, batch):
        """Make batch number ``batch``, from 0."""
        N = self.settings.batch
        indices = [self.order.group(n)[0] for n in range(batch * N, (batch + 1) * N)]
        samples = [self.samples[index] for index in indices]
        names = [str(sample) for sample in samples]
        return {**self.arrays(samples), "samples": names, "unreadable": self.left_out}

    def usable(self, samples):
        """Those of ``samples`` that can be trained on; adds to ``left_out`` why others cannot."""
        return samples

    def arrays(self, samples):
        """Return the arrays of the data layer's tops, {name: array}, for N samples."""
        raise NotImplementedError
