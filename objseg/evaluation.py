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
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.dataset import Dataset
from objseg.files import Progress, atomic_path, sha256
from objseg.images import ImageError, read_image
from objseg.masks import bounding_box
from objseg.methods import METHODS, Configuration, open_method
from objseg.metrics import areas, iou

JOURNAL_VERSION = 2
"""Part of every journal's key; raise it when a change of the code changes what is measured."""


NO_BOX = [-1] * 4
"""The bounding box of an empty mask, in numbers."""


class EvaluationError(ValueError):
    """An evaluation that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured: the areas of every scored sample, in the data set's order.

    ``intersections`` and ``unions`` are int64 (N,) in pixels, ``boxes`` int64 (N, 4) the bounding
    boxes of the masks (xmin, ymin, xmax, ymax in inclusive pixels; -1 for an empty mask),
    ``samples`` the N samples, ``skipped`` the number of samples whose image could not be read,
    ``identity`` what the numbers depend on.
    """

    configuration: Configuration
    identity: dict
    samples: list
    intersections: np.ndarray
    unions: np.ndarray
    boxes: np.ndarray
    skipped: int

    @property
    def method(self):
        """The row of Table 1."""
        return METHODS[self.configuration.method]

    @property
    def ious(self):
        """IoU of every sample, float64 (N,)."""
        return iou(self.intersections, self.unions)


def evaluate(dataset, split, configuration, folder, samples, unreadable, workers=1):
    """Score ``samples`` (of ``dataset.samples(split)``, in that order) and return the Evaluation.

    ``folder`` holds the journals. ``unreadable`` {image id: message} is filled with images that
    cannot be read, each reported once; images already in it are skipped without trying.

    Several ``workers`` are processes with a net each, on the same number of BLAS threads as this
    one, so that sums are rounded alike and the result is the same to the last pixel. Raises
    EvaluationError when no sample could be scored or a worker dies.
    """
    identity = {
        "version": JOURNAL_VERSION,
        "split": split,
        "index": sha256(dataset.directory / "index.json"),
        **configuration.identity(),
    }
    images = [list(group) for _, group in groupby(samples, key=lambda sample: sample.image.id)]
    name = configuration.method
    with Journal(Path(folder) / f"{name}-{key_of(identity)}.jsonl", identity) as journal:
        todo = [
            image for image in images
            if image[0].image.id not in unreadable
            and len(journal.found.get(image[0].image.id, ())) < len(image)
        ]
        left = sum(len(image) for image in todo)
        with Progress(len(samples), name, "sample", initial=len(samples) - left) as progress:
            scored = _score_all(dataset, configuration, todo, workers)
            with contextlib.closing(scored):  # a break or an error here stops the workers too
                for image_id, count, found, problem in scored:
                    if problem is None:
                        journal.append(image_id, found)
                    else:
                        unreadable[image_id] = problem
                        progress.write(f"skipped: {problem}")
                    progress.advance(count)
        done = [image for image in images if image[0].image.id not in unreadable]
        found = [row for image in done for row in journal.found[image[0].image.id][: len(image)]]
    if not found:
        raise EvaluationError(
            f"no sample of the split {split} of {dataset.directory} could be scored: "
            f"{len(samples)} samples, {len(unreadable)} unreadable images"
        )
    found = np.array(found, np.int64)
    return Evaluation(
        configuration, identity, [sample for image in done for sample in image],
        *found[:, :2].T, found[:, 2:], len(samples) - len(found),
    )


def predict(dataset, configuration, samples, cache):
    """Masks of a few samples, as a list of bool (H, W) arrays.

    They are kept in the file ``cache`` (.npz), so that making a report again loads no net.
    """
    names = [f"{sample.region.id} {sample.expression}" for sample in samples]
    broken = (OSError, ValueError, KeyError, zipfile.BadZipFile)  # then it is made again
    with contextlib.suppress(*broken), np.load(cache) as stored:
        if stored["names"].tolist() == names:
            return [stored[f"mask{n}"] for n in range(len(samples))]
    method = open_method(configuration)
    masks = [
        next(iter(method(
            read_image(sample.image.path), [sample.expression], sample.image.id
        )))
        for sample in samples
    ]
    with atomic_path(cache) as temporary:
        arrays = {f"mask{n}": mask for n, mask in enumerate(masks)}
        np.savez_compressed(temporary, names=np.array(names), **arrays)
    return masks


def key_of(identity):
    """A short name for everything that an evaluation's numbers depend on."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """What was found so far, one JSON line an image, appended as it is found.

    ``found`` maps an image id to its list of [intersection, union, xmin, ymin, xmax, ymax], in the
    order of its samples. A last line that a killed process left unfinished is cut off, and that
    image is scored again.
    """

    def __init__(self, path, identity):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.found = {}
        self._file = open(path, "ab+")
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        for line in content[:whole].splitlines():
            with contextlib.suppress(ValueError):  # a damaged line: its image is scored again
                record = json.loads(line)
                if "image" in record:
                    self.found[record["image"]] = record["found"]
        if not whole:
            self._write(identity)

    def append(self, image_id, found):
        """Add what was ``found`` on an image; it reaches the file before this returns."""
        self.found[image_id] = found
        self._write({"image": image_id, "found": found})

    def _write(self, record):
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._file.close()


class Scorer:
    """Scores the samples of one image after the other; loads the net when it first needs it."""

    def __init__(self, directory, configuration):
        self.dataset = Dataset(directory)
        self.configuration = configuration
        self.masks_of = None

    def __call__(self, image_id, path, wanted):
        """Score ``wanted``, a list of (region id, expression), on one image.

        Returns (image id, number of samples, [[intersection, union, box ...], ...], None), or
        None in place of that list and a message when the image cannot be read.
        """
        try:
            image, truth = self.dataset.pixels_and_masks(image_id, path)
        except ImageError as error:
            return image_id, len(wanted), None, str(error)
        self.masks_of = self.masks_of or open_method(self.configuration)
        predictions = self.masks_of(image, [expression for _, expression in wanted], image_id)
        found = [
            [*areas(prediction, truth[region]), *(bounding_box(prediction) or NO_BOX)]
            for prediction, (region, _) in zip(predictions, wanted)
        ]
        return image_id, len(wanted), found, None


def _score_all(dataset, configuration, images, workers):
    """Yield what Scorer returns for every image, in any order."""
    tasks = [
        (
            image[0].image.id, str(image[0].image.path),
            [(sample.region.id, sample.expression) for sample in image],
        )
        for image in images
    ]
    workers = min(workers, len(tasks))
    if workers <= 1:
        scorer = Scorer(dataset.directory, configuration)
        for task in tasks:
            yield scorer(*task)
        return
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker,
        (dataset.directory, configuration),
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


def _start_worker(directory, configuration):
    """Set up a worker process: it ignores Ctrl-C, which its parent handles, and ends with it."""
    global _scorer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process().sentinel

    def follow():
        multiprocessing.connection.wait([parent])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    _scorer = Scorer(directory, configuration)


def _score(task):
    return _scorer(*task)
