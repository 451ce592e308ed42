"""Scoring methods on the samples of a split, so that it can be stopped and resumed.

The unit of work is an image: its trunk runs once for all its expressions. Results are appended to a
journal at once, and a later evaluation of the same thing takes them from there.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset, Sample
from objseg.data.images import ImageError
from objseg.data.masks import bounding_box
from objseg.errors import UserError
from objseg.evaluation.journal import Journal
from objseg.files import Progress, sha256
from objseg.methods.method import Configuration, Method
from objseg.methods.table1 import METHODS, group_by_net, open_methods
from objseg.metrics import areas, iou
from objseg.parallel.prefetch import Prefetcher
from objseg.parallel.ranks import ALONE

VERSION = 5
"""Part of every journal's identity; raise it when a change of the code changes the results."""

NO_BOX = [-1] * 4
"""The bounding box of an empty mask, in numbers."""


@dataclass(frozen=True)
class Request:
    """The samples to score, all of a split or its first ``limit``, and the nets' ``size``."""

    dataset: Dataset
    split: str = "test"
    size: str = "paper"
    limit: int | None = None

    @cached_property
    def images(self) -> list[list[Sample]]:
        """The samples in the data set's order, a list per image."""
        samples = self.dataset.samples(self.split)[: self.limit]
        return [list(group) for _, group in groupby(samples, key=lambda sample: sample.image.id)]

    @property
    def is_papers(self) -> bool:
        """Whether the paper's figures are about the same: all of ReferIt's test split, its nets."""
        return (
            self.dataset.about.referit and self.split == "test" and self.size == "paper"
            and self.limit is None
        )

    def identity(self, configuration: Configuration) -> dict:
        """Return everything that the results of a method depend on, as plain values."""
        return {
            "version": VERSION, "split": self.split, "data set": self.dataset.identity,
            **configuration.identity(),
        }


@dataclass(frozen=True)
class Evaluation:
    """The measured areas of every scored sample, in the data set's order.

    ``intersections`` and ``unions`` are int64 (N,) in pixels, ``boxes`` int64 (N, 4) the bounding
    boxes of the masks (xmin, ymin, xmax, ymax in inclusive pixels; -1 for an empty mask),
    ``samples`` the N samples, ``skipped`` the number of samples whose image could not be read,
    ``tally`` {what did not go as usual: number of samples}, ``identity`` that of the Request.
    """

    configuration: Configuration
    identity: dict
    samples: list[Sample]
    intersections: np.ndarray
    unions: np.ndarray
    boxes: np.ndarray
    skipped: int
    tally: Counter

    @property
    def method(self) -> Method:
        """The row of Table 1."""
        return METHODS[self.configuration.method]

    @property
    def ious(self) -> np.ndarray:
        """IoU of every sample, float64 (N,)."""
        return iou(self.intersections, self.unions)


def evaluate(
    request: Request, configurations: list[Configuration], folder: Path, workers=1, ranks=ALONE
) -> tuple[list[list[Evaluation]], dict[str, str]]:
    """Score the samples of a Request by several methods; the journals are kept in ``folder``.

    Several ``workers`` are processes with a net each, on the same number of BLAS threads as this
    one, so that sums are rounded alike and the result is the same to the last pixel; several
    ``ranks`` are that, too, and all but this one call :func:`assist`. An image of the journal is
    taken as scored only while its picture and its masks are those that were prepared.

    Returns a list of Evaluations, all of the same samples, for each of
    :func:`objseg.methods.table1.group_by_net`, and {id of an image that could not be read: why}.
    Raises UserError when no sample could be scored or a worker dies, DatasetError for a changed
    picture or mask.
    """
    images, by_pass, unreadable = request.images, [], {}
    asked = sum(map(len, images))
    unchanged = cache(lambda image: _is_unchanged(request.dataset, image))
    for group in group_by_net(configurations):
        with contextlib.ExitStack() as stack:
            journals = [
                stack.enter_context(Journal(folder, request.identity(configuration)))
                for configuration in group
            ]
            todo = [
                samples for samples in images
                if not all(journal.holds(samples) for journal in journals)
                or not unchanged(samples[0].image)
            ]
            scored = _score_all(Scorer(request.dataset, group), todo, workers, ranks)
            with contextlib.closing(scored):  # a break or an error here stops the workers too
                unreadable |= _keep(scored, journals, asked, sum(map(len, todo)))
        images = [samples for samples in images if samples[0].image.id not in unreadable]
        if not images:
            raise UserError(
                f"no sample of the split {request.split} of {request.dataset.directory} could be "
                f"scored: {asked} samples, {len(unreadable)} unreadable images"
            )
        by_pass.append(list(zip(group, journals)))
    evaluations = [
        [_gather(configuration, journal, images, asked) for configuration, journal in group]
        for group in by_pass
    ]
    return evaluations, unreadable


def assist(dataset: Dataset, configurations: list[Configuration], ranks) -> None:
    """Compute this rank's part of an :func:`evaluate` that the first of the ``ranks`` is in."""
    for group in group_by_net(configurations):
        ranks.assist(Scorer(dataset, group))


def _is_unchanged(dataset, image):
    """Say whether the picture is the one that was prepared; raise DatasetError for other masks."""
    dataset.masks(image)
    try:
        return image.sha256 is None or sha256(image.path) == image.sha256
    except OSError:
        return False


def _keep(scored, journals, asked, left):
    """Write what a Scorer found to the journals; returns {id of an unreadable image: why}.

    Shows progress over the samples ``asked`` for, of which ``left`` are not scored yet.
    """
    unreadable, first = {}, METHODS[journals[0].identity["method"]]
    title = first.model if journals[1:] else first.name
    with Progress(asked, title, "sample", initial=asked - left) as progress:
        for image_id, count, results, problem in scored:
            if problem:
                unreadable[image_id] = problem
                progress.write(f"skipped: {problem}")
            for journal, result in zip(journals, results):
                journal.append(image_id, *result)
            progress.advance(count)
    return unreadable


def _gather(configuration, journal, images, asked):
    """Return the Evaluation of ``images``, lists of samples that are all in the journal.

    The tally is that of whole images, also where only the first samples of the last were asked for.
    """
    samples = [sample for group in images for sample in group]
    rows = [row for group in images for row in journal.found[group[0].image.id][: len(group)]]
    columns = np.array(rows, np.int64)
    tally = sum((journal.tallies[group[0].image.id] for group in images), Counter())
    return Evaluation(
        configuration, journal.identity, samples, *columns[:, :2].T, columns[:, 2:],
        asked - len(samples), tally,
    )


class Scorer:
    """Scores the samples of one image after the other; loads the net when it first needs it."""

    def __init__(self, dataset: Dataset, configurations: list[Configuration]):
        self.dataset, self.configurations = dataset, configurations
        self.methods = None

    def __call__(self, samples: list[Sample]) -> tuple[str, int, list, str | None]:
        """Score ``samples``, all of one image.

        Returns (image id, number of samples, results, None); the results are a pair for each
        Configuration, (rows of the journal's COLUMNS, tally). They are empty, with a message as the
        last value, when the image cannot be read.
        """
        image = samples[0].image
        try:
            pixels, truth = self.dataset.pixels_and_masks(image)
        except ImageError as error:
            return image.id, len(samples), [], str(error)
        self.methods = self.methods or open_methods(self.configurations)
        drawn = self.methods(pixels, [sample.expression for sample in samples], image.id)
        results = [
            ([
                [*areas(mask, truth[sample.region.id]), *(bounding_box(mask) or NO_BOX)]
                for mask, sample in zip(masks, samples)
            ], tally)
            for masks, tally in drawn
        ]
        return image.id, len(samples), results, None


def _score_all(scorer, tasks, workers, ranks) -> Iterator:
    """Yield what ``scorer`` returns for every one of ``tasks``, in any order."""
    if ranks.size > 1:
        yield from ranks.spread(scorer, [(samples,) for samples in tasks])
    elif workers > 1 and tasks:
        with contextlib.closing(Prefetcher(
            lambda n: scorer(tasks[n]), min(workers, len(tasks)), count=len(tasks)
        )) as results:
            yield from results
    else:
        yield from map(scorer, tasks)
