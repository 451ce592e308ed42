"""The masks that the report shows, kept so that making it again loads no net."""

import zipfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.dataset import Dataset, Sample
from objseg.evaluation.evaluate import Evaluation
from objseg.evaluation.journal import key_of
from objseg.files import atomic_path
from objseg.methods.table1 import open_methods


def predict(
    dataset: Dataset, evaluations: list[Evaluation], samples: list[Sample], folder: Path
) -> list[list[np.ndarray]]:
    """Return masks, bool (H, W): a list for each of ``evaluations`` with a mask per sample.

    The methods share a pass of a net, which runs once for samples of one image that follow each
    other. The masks are kept in ``folder`` under what the evaluations depend on.
    """
    method, key = evaluations[0].method, key_of([evaluation.identity for evaluation in evaluations])

    def make():
        masks = [[] for _ in evaluations]
        methods = open_methods([evaluation.configuration for evaluation in evaluations])
        for image, group in groupby(samples, key=lambda sample: sample.image):
            expressions = [sample.expression for sample in group]
            drawn = methods(dataset.pixels(image), expressions, image.id)
            for found, (more, _) in zip(masks, drawn):
                found += more
        return sum(masks, [])

    masks = cached_masks(
        folder / f"{method.model or method.name}-{key}-gallery.npz",
        [f"{sample.region.id} {sample.expression}" for sample in samples], make,
    )
    return [masks[first:first + len(samples)] for first in range(0, len(masks), len(samples))]


def cached_masks(
    path: Path, names: list[str], make: Callable[[], list[np.ndarray]]
) -> list[np.ndarray]:
    """Return the list of masks that ``make()`` made for ``names`` when it was last called.

    They are kept in the file ``path``; where it is missing, damaged or of other names they are made
    again.
    """
    try:
        with np.load(path) as stored:
            if stored["names"].tolist() == names:
                return [stored[f"mask {n}"] for n in range(len(stored.files) - 1)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass
    masks = make()
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, names=np.array(names), **{f"mask {n}": mask for n, mask in enumerate(masks)}
        )
    return masks
