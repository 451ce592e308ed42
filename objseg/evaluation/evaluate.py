"""Scoring a method on the samples of a split, so that it can be stopped and resumed.

An image is the unit of work: its trunk runs once for all its expressions. What is found is appended
to a journal at once, and a later evaluation of the same thing takes it from there.
"""

import contextlib
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset
from objseg.data.images import ImageError
from objseg.data.masks import bounding_box
from objseg.errors import UserError
from objseg.files import Progress, atomic_path
from objseg.methods.table1 import METHODS, Configuration, open_methods
from objseg.metrics import areas, iou
from objseg.parallel.ranks import ALONE

JOURNAL_VERSION = 5
"""Part of every journal's key; raise it when a change of the code changes what is measured."""


NO_BOX = [-1] * 4
"""The bounding box of an empty mask, in numbers."""


class EvaluationError(UserError):
    """An evaluation that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Evaluation:
    """The measured areas of every scored sample, in the data set's order.

    ``intersections`` and ``unions`` are int64 (N,) in pixels, ``boxes`` int64 (N, 4) the bounding
    boxes of the masks (xmin, ymin, xmax, ymax in inclusive pixels; -1 for an empty mask),
    ``samples`` the N samples, ``skipped`` the number of samples whose image could not be read,
    ``tally`` {what did not go as usual: number of samples}, ``identity`` what the numbers depend
    on.
    """

    configuration: Configuration
    identity: dict
    samples: list
    intersections: np.ndarray
    unions: np.ndarray
    boxes: np.ndarray
    skipped: int
    tally: Counter

    @property
    def method(self):
        """The row of Table 1."""
        return METHODS[self.configuration.method]

    @property
    def ious(self):
        """IoU of every sample, float64 (N,)."""
        return iou(self.intersections, self.unions)


def evaluate(
    dataset, split, configurations, folder, samples, unreadable, workers=1, ranks=ALONE
):
    """Score ``samples`` (of ``dataset.samples(split)``, in that order): an Evaluation a method.

    ``configurations`` is one of :func:`objseg.methods.table1.passes`. ``folder`` holds the
    journals. ``unreadable`` {image id: message} is filled with images that cannot be read, each
    reported once; images already in it are skipped without trying.

    Several ``workers`` are processes with a net each, on the same number of BLAS threads as this
    one, so that sums are rounded alike and the result is the same to the last pixel; several
    ``ranks`` are that, too, and all but this one call :func:`assist`. Raises EvaluationError when
    no sample could be scored or a worker dies.
    """
    images = [list(group) for _, group in groupby(samples, key=lambda sample: sample.image.id)]
    identities = [
        {"version": JOURNAL_VERSION, "split": split, "data set": dataset.identity,
         **configuration.identity()}
        for configuration in configurations
    ]
    names = [configuration.method for configuration in configurations]
    title = names[0] if len(names) == 1 else METHODS[names[0]].model
    with contextlib.ExitStack() as stack:
        journals = [
            stack.enter_context(
                Journal(Path(folder) / f"{name}-{key_of(identity)}.jsonl", identity)
            )
            for name, identity in zip(names, identities)
        ]
        todo = [
            image for image in images
            if image[0].image.id not in unreadable
            and not all(journal.holds(image) for journal in journals)
        ]
        left = sum(len(image) for image in todo)
        with Progress(len(samples), title, "sample", initial=len(samples) - left) as progress:
            scored = _score_all(dataset, configurations, todo, workers, ranks)
            with contextlib.closing(scored):  # a break or an error here stops the workers too
                for image_id, count, scores, problem in scored:
                    if problem is None:
                        for journal, score in zip(journals, scores):
                            journal.append(image_id, *score)
                    else:
                        unreadable[image_id] = problem
                        progress.write(f"skipped: {problem}")
                    progress.advance(count)
    done = [image for image in images if image[0].image.id not in unreadable]
    if not done:
        raise EvaluationError(
            f"no sample of the split {split} of {dataset.directory} could be scored: "
            f"{len(samples)} samples, {len(unreadable)} unreadable images"
        )
    return [
        _gather(configuration, identity, journal, done, len(samples))
        for configuration, identity, journal in zip(configurations, identities, journals)
    ]


def _gather(configuration, identity, journal, images, asked):
    """The Evaluation of ``images``, lists of samples, of ``asked`` samples; all are in the Journal.

    The tally is that of whole images, also where only the first samples of the last were asked for.
    """
    samples = [sample for image in images for sample in image]
    found = np.array(
        [row for image in images for row in journal.found[image[0].image.id][: len(image)]],
        np.int64,
    )
    tally = sum((journal.tallies[image[0].image.id] for image in images), Counter())
    return Evaluation(
        configuration, identity, samples, *found[:, :2].T, found[:, 2:], asked - len(samples), tally
    )


def predict(dataset, evaluations, samples, folder):
    """Masks of a few samples: for each of ``evaluations``, a list of bool (H, W) arrays.

    Their methods share a pass of a net, which runs once for samples of one image that follow each
    other. The masks are kept in ``folder`` (.npz), so that making a report again loads no net.
    """
    first, key = evaluations[0], key_of([evaluation.identity for evaluation in evaluations])
    cache = Path(folder) / f"{first.method.model or first.method.name}-{key}-gallery.npz"
    names = [f"{sample.region.id} {sample.expression}" for sample in samples]
    broken = (OSError, ValueError, KeyError, zipfile.BadZipFile)  # then it is made again
    with contextlib.suppress(*broken), np.load(cache) as stored:
        if stored["names"].tolist() == names:
            return [
                [stored[f"{evaluation.method.name} {n}"] for n in range(len(samples))]
                for evaluation in evaluations
            ]
    methods = open_methods([evaluation.configuration for evaluation in evaluations])
    masks = [[] for _ in evaluations]
    for image, group in groupby(samples, key=lambda sample: sample.image):
        expressions = [sample.expression for sample in group]
        drawn = methods(dataset.pixels(image), expressions, image.id)
        for found, (more, _) in zip(masks, drawn):
            found += more
    with atomic_path(cache) as temporary:
        arrays = {
            f"{evaluation.method.name} {n}": mask
            for evaluation, found in zip(evaluations, masks) for n, mask in enumerate(found)
        }
        np.savez_compressed(temporary, names=np.array(names), **arrays)
    return masks


def key_of(identity):
    """A short name for everything that an evaluation's numbers depend on."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """The results so far, one JSON line per image, appended as they are found.

    ``found`` maps an image id to its list of [intersection, union, xmin, ymin, xmax, ymax], in the
    order of its samples, ``tallies`` to the Counter of what did not go as usual. A last line that a
    killed process left unfinished is cut off, and that image is scored again.
    """

    def __init__(self, path, identity):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.found, self.tallies = {}, {}
        self._file = open(path, "ab+")
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        for line in content[:whole].splitlines():
            with contextlib.suppress(ValueError):  # a damaged line: its image is scored again
                record = json.loads(line)
                if "image" in record:
                    self._keep(record["image"], record["found"], record["tally"])
        if not whole:
            self._write(identity)

    def holds(self, samples):
        """Say whether all ``samples``, the first ones of an image, have been scored."""
        return len(self.found.get(samples[0].image.id, ())) >= len(samples)

    def append(self, image_id, found, tally):
        """Add what was ``found`` on an image; it reaches the file before this returns."""
        self._keep(image_id, found, tally)
        self._write({"image": image_id, "found": found, "tally": tally})

    def _keep(self, image_id, found, tally):
        self.found[image_id], self.tallies[image_id] = found, Counter(tally)

    def _write(self, record):
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._file.close()


class Scorer:
    """Scores the samples of one image after the other; loads the net when it first needs it."""

    def __init__(self, directory, configurations):
        self.dataset = Dataset(directory)
        self.configurations = configurations
        self.methods = None

    def __call__(self, image, wanted):
        """Score ``wanted``, a list of (region id, expression), on one Image.

        Returns (image id, number of samples, scores, None); scores are a pair for each
        Configuration, ([[intersection, union, box ...], ...], tally). Or None in place of that list
        and a message when the image cannot be read.
        """
        try:
            pixels, truth = self.dataset.pixels_and_masks(image)
        except ImageError as error:
            return image.id, len(wanted), None, str(error)
        self.methods = self.methods or open_methods(self.configurations)
        drawn = self.methods(pixels, [expression for _, expression in wanted], image.id)
        scores = [
            ([
                [*areas(mask, truth[region]), *(bounding_box(mask) or NO_BOX)]
                for mask, (region, _) in zip(masks, wanted)
            ], tally)
            for masks, tally in drawn
        ]
        return image.id, len(wanted), scores, None


def assist(dataset, configurations, ranks):
    """Compute this rank's part of an :func:`evaluate` that the first of the ``ranks`` is in."""
    ranks.assist(Scorer(dataset.directory, configurations))


def _score_all(dataset, configurations, images, workers, ranks):
    """Yield what Scorer returns for every image, in any order."""
    tasks = [
        (image[0].image, [(sample.region.id, sample.expression) for sample in image])
        for image in images
    ]
    if ranks.size > 1:
        yield from ranks.spread(Scorer(dataset.directory, configurations), tasks)
        return
    workers = min(workers, len(tasks))
    if workers <= 1:
        scorer = Scorer(dataset.directory, configurations)
        for task in tasks:
            yield scorer(*task)
        return
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker,
        (dataset.directory, configurations),
    )
    try:
        for future in as_completed([executor.submit(_score, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            "a worker process died, perhaps for want of memory; the same command with fewer "
            "--workers continues from here"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(directory, configurations):
    """Set up a worker process: it ignores Ctrl-C, which its parent handles, and ends with it."""
    global _scorer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process().sentinel

    def follow():
        multiprocessing.connection.wait([parent])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    _scorer = Scorer(directory, configurations)


def _score(task):
    return _scorer(*task)
