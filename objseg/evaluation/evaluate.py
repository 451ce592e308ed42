"""Scoring methods on the samples of a split, so that it can be stopped and resumed.

The unit of work is an image: its trunk runs once for all its expressions. Results are appended to a
journal at once, and a later evaluation of the same thing takes them from there.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset, Image, Sample
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
    """The samples to score, all of a split or its first ``limit``, and the nets' ``size``.

    The size is None for masks that no net of ours made.
    """

    dataset: Dataset
    split: str = "test"
    size: str | None = "paper"
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

    def identity(self, method: dict) -> dict:
        """Return everything that results depend on, as plain values.

        ``method`` is that of the method alone, :meth:`objseg.methods.method.Configuration.identity`
        or another.
        """
        return {
            "version": VERSION, "split": self.split, "data set": self.dataset.identity, **method,
        }

    def check(self) -> None:
        """Raise UserError where there is no sample, or a picture or mask is not as prepared."""
        if not self.images:
            raise UserError(
                f"{self.dataset.directory}: the split {self.split} has no sample to score; "
                "choose another one with --split"
            )
        check_files(self.dataset, [samples[0].image for samples in self.images])


OpenMasks = Callable[[], Callable[[list[Sample], np.ndarray], Iterable[np.ndarray]]]
"""A function that loads what is needed to draw masks. It returns one of samples of an image, and
the image, BGR uint8 (H, W, 3), which iterates over their masks, bool (H, W)."""


@dataclass(frozen=True)
class Evaluation:
    """The measured areas of every sample, in the data set's order.

    ``method`` is the row of the table, ``weights`` the file of its net, if there is one, and
    ``open_masks`` draws masks again, for pictures. ``intersections`` and ``unions`` are int64 (N,)
    in pixels, ``boxes`` int64 (N, 4) the bounding boxes of the masks (xmin, ymin, xmax, ymax in
    inclusive pixels; -1 for an empty mask), ``samples`` the N samples, ``tally`` {what did not go
    as usual: number of samples}, ``identity`` that of the Request.
    """

    method: Method
    weights: Path | None
    open_masks: OpenMasks
    identity: dict
    samples: list[Sample]
    intersections: np.ndarray
    unions: np.ndarray
    boxes: np.ndarray
    tally: Counter

    @property
    def ious(self) -> np.ndarray:
        """IoU of every sample, float64 (N,)."""
        return iou(self.intersections, self.unions)

    def of_source(self, name: str) -> "Evaluation":
        """Return the samples of one source of a joined data set; what was tallied stays here."""
        chosen = np.array([sample.image.source == name for sample in self.samples], bool)
        return replace(
            self, samples=[sample for sample, take in zip(self.samples, chosen) if take],
            intersections=self.intersections[chosen], unions=self.unions[chosen],
            boxes=self.boxes[chosen], tally=Counter(),
        )


def evaluate(
    request: Request, configurations: list[Configuration], folder: Path, workers=1, ranks=ALONE
) -> list[list[Evaluation]]:
    """Score the samples of a Request by several methods; the journals are kept in ``folder``.

    Several ``workers`` are processes with a net each, on the same number of BLAS threads as this
    one, so that sums are rounded alike and the result is the same to the last pixel; several
    ``ranks`` are that, too, and all but this one call :func:`assist`.

    Returns a list of Evaluations for each of :func:`objseg.methods.table1.group_by_net`. Raises
    UserError when there is no sample or a worker dies, ImageError or DatasetError for a picture or
    mask that is damaged or not the one that was prepared, also where a journal has its results.
    """
    request.check()
    by_pass = []
    for group in group_by_net(configurations):
        with contextlib.ExitStack() as stack:
            journals = [
                stack.enter_context(Journal(folder, request.identity(configuration.identity())))
                for configuration in group
            ]
            todo = [
                samples for samples in request.images
                if not all(journal.holds(samples) for journal in journals)
            ]
            scored = _score_all(Scorer(request.dataset, group), todo, workers, ranks)
            with contextlib.closing(scored):  # a break or an error here stops the workers too
                _keep(scored, journals, request, sum(map(len, todo)))
        by_pass.append([
            _gather(configuration, journal, request)
            for configuration, journal in zip(group, journals)
        ])
    return by_pass


def assist(dataset: Dataset, configurations: list[Configuration], ranks) -> None:
    """Compute this rank's part of an :func:`evaluate` that the first of the ``ranks`` is in."""
    for group in group_by_net(configurations):
        ranks.assist(Scorer(dataset, group))


def check_files(dataset: Dataset, images: list[Image]) -> None:
    """Raise ImageError or DatasetError where a picture or mask is not what was prepared.

    Takes 1.5 ms per image.
    """
    with Progress(len(images), "check", "image") as progress:
        for image in images:
            dataset.masks(image)
            if not image.path.is_file() or sha256(image.path) != image.sha256:
                dataset.pixels(image)  # says what is wrong with it
            progress.advance()


def _keep(scored, journals, request, left):
    """Write what a Scorer returns to the journals; ``left`` is the number of samples to come."""
    first, asked = METHODS[journals[0].identity["method"]], sum(map(len, request.images))
    title = first.model if journals[1:] else first.name
    with Progress(asked, title, "sample", initial=asked - left) as progress:
        for image_id, results in scored:
            for journal, result in zip(journals, results):
                journal.append(image_id, *result)
            progress.advance(len(results[0][0]))


def _gather(configuration, journal, request):
    """Return the Evaluation of all samples of the Request from the journal.

    The tally is that of whole images, also where only the first samples of the last were asked for.
    """
    images = {samples[0].image.id: samples for samples in request.images}
    samples = [sample for group in images.values() for sample in group]
    rows = [row for name, group in images.items() for row in journal.found[name][: len(group)]]
    columns = np.array(rows, np.int64)
    return Evaluation(
        METHODS[configuration.method], configuration.weights, partial(_open_masks, configuration),
        journal.identity, samples, *columns[:, :2].T, columns[:, 2:],
        sum((journal.tallies[name] for name in images), Counter()),
    )


def _open_masks(configuration):
    """Load the net of a Configuration; see ``OpenMasks``."""
    method = open_methods([configuration])

    def masks(samples, pixels):
        expressions = [sample.expression for sample in samples]
        ((drawn, _),) = method(pixels, expressions, samples[0].image.id)
        return drawn

    return masks


def measure(mask: np.ndarray, truth: np.ndarray) -> list[int]:
    """Return the numbers of a sample, a row of a journal's COLUMNS, from masks bool (H, W)."""
    return [*areas(mask, truth), *(bounding_box(mask) or NO_BOX)]


class Scorer:
    """Scores the samples of one image after the other; loads the net when it first needs it."""

    def __init__(self, dataset: Dataset, configurations: list[Configuration]):
        self.dataset, self.configurations = dataset, configurations
        self.methods = None

    def __call__(self, samples: list[Sample]) -> tuple[str, list[tuple[list, Counter]]]:
        """Score ``samples``, all of one image.

        Returns the image's id, and a pair for each Configuration: (rows of the journal's COLUMNS,
        tally). Raises ImageError and DatasetError.
        """
        image = samples[0].image
        pixels, truth = self.dataset.pixels_and_masks(image)
        self.methods = self.methods or open_methods(self.configurations)
        drawn = self.methods(pixels, [sample.expression for sample in samples], image.id)
        return image.id, [
            ([measure(mask, truth[sample.region.id]) for mask, sample in zip(masks, samples)],
             tally)
            for masks, tally in drawn
        ]


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
