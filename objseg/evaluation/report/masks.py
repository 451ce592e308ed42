"""The masks that the report shows, kept so that making it again loads no net."""

import zipfile
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset
from objseg.evaluation.evaluate import Evaluation
from objseg.evaluation.journal import key_of
from objseg.files import atomic_path
from objseg.methods.table1 import open_methods


def predict(
    dataset: Dataset, evaluations: list[Evaluation], indices: list[int], folder: Path
) -> dict[str, dict[int, np.ndarray]]:
    """Return the masks, bool (H, W), of the samples of these ``indices``: {method: {index: mask}}.

    The methods share a pass of a net, which runs once for samples of one image that follow each
    other. The masks are kept in ``folder`` under what the evaluations depend on; where that file is
    missing, damaged or of other samples they are made again.
    """
    method, key = evaluations[0].method, key_of([evaluation.identity for evaluation in evaluations])
    path = folder / f"{method.model or method.name}-{key}-gallery.npz"
    samples = [evaluations[0].samples[index] for index in indices]
    names = [f"{sample.region.id} {sample.expression}" for sample in samples]
    masks = _load(path, names)
    if masks is None:
        masks = _draw(dataset, evaluations, samples)
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary, names=np.array(names), **{str(n): mask for n, mask in enumerate(masks)}
            )
    count = len(indices)
    return {
        evaluation.method.name: dict(zip(indices, masks[n * count:][:count]))
        for n, evaluation in enumerate(evaluations)
    }


def _draw(dataset, evaluations, samples):
    """Return the masks of all samples for the first method, then those for the next, and so on."""
    masks = [[] for _ in evaluations]
    methods = open_methods([evaluation.configuration for evaluation in evaluations])
    for image, group in groupby(samples, key=lambda sample: sample.image):
        expressions = [sample.expression for sample in group]
        drawn = methods(dataset.pixels(image), expressions, image.id)
        for found, (more, _) in zip(masks, drawn):
            found += more
    return sum(masks, [])


def _load(path, names):
    """Return the list of masks in a file of :func:`predict`, or None if it is not of ``names``."""
    try:
        with np.load(path) as stored:
            if stored["names"].tolist() == names:
                return [stored[str(n)] for n in range(len(stored.files) - 1)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass
    return None
