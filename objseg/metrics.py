"""The paper's metrics (section 4.2), from the intersection and union areas of every sample.

A sample is an image and an expression. Areas are whole numbers of pixels of the original image, and
thresholds are whole tenths, so that a sample whose IoU equals a threshold passes it: in floating
point 0.7 * union can come out above an intersection that is exactly seven tenths of it.

An empty prediction of an empty region is right: its IoU is 1 and it passes every threshold. An
empty prediction of a region, or any prediction of an empty one, has IoU 0.
"""

import numpy as np

TENTHS = (5, 6, 7, 8, 9)
"""Thresholds of precision@0.5 ... precision@0.9, in tenths."""

NAMES = tuple(f"precision@0.{tenths}" for tenths in TENTHS) + ("overall_iou", "mean_iou")
"""Metrics, in Table 1's order; the mean IoU is ours."""


def areas(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Return intersection and union of two boolean masks (H, W), in pixels.

    Raises ValueError for masks of different shapes.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"a prediction of shape {prediction.shape} against a mask of shape {truth.shape}"
        )
    return (
        int(np.count_nonzero(prediction & truth)),
        int(np.count_nonzero(prediction | truth)),
    )


def iou(intersections, unions) -> np.ndarray:
    """Return the IoU of every sample, float64 in [0, 1], from two integer arrays of one shape."""
    intersections, unions = np.asarray(intersections), np.asarray(unions)
    return np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)


def passes(intersections, unions, tenths: int) -> np.ndarray:
    """Say whether IoU >= tenths / 10 exactly, for arrays of integer areas."""
    return 10 * np.asarray(intersections) >= tenths * np.asarray(unions)


def summarize(intersections, unions) -> dict[str, float]:
    """Return {name: value in [0, 1]} for the metrics ``NAMES`` of N samples, and {"samples": N}.

    Precision is the share of samples that pass, the overall IoU the sum of intersections over the
    sum of unions. Raises ValueError when there is no sample.
    """
    columns = _columns(intersections, unions)
    values = _metrics(columns.sum(axis=0, keepdims=True))[0]
    return {**dict(zip(NAMES, values.tolist())), "samples": len(columns)}


def bootstrap(
    intersections, unions, groups, repeats: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """Return 95 % percentile intervals of the metrics: {name: [low, high]} for ``NAMES``.

    ``groups`` (N,) names the image of every sample. Whole images are drawn with replacement, since
    the expressions of one image share its regions and its features and so are not independent:
    drawing samples one by one would give intervals that are too narrow. With one image the
    intervals have no width.
    """
    columns = _columns(intersections, unions)
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    count = members.max() + 1
    per_image = np.stack([np.bincount(members, column, count) for column in columns.T], axis=1)
    random = np.random.RandomState(seed)
    draws = np.stack([
        np.bincount(random.randint(0, count, count), minlength=count) @ per_image
        for _ in range(repeats)
    ])
    bounds = np.percentile(_metrics(draws), (2.5, 97.5), axis=0)
    return dict(zip(NAMES, bounds.T.tolist()))


def _columns(intersections, unions):
    """Return columns whose sums over samples give every metric: float64 (N, thresholds + 4)."""
    intersections, unions = np.asarray(intersections), np.asarray(unions)
    if len(intersections) == 0:
        raise ValueError("there is no sample to evaluate: none in the split, or none was readable")
    columns = [passes(intersections, unions, tenths) for tenths in TENTHS]
    columns += [intersections, unions, iou(intersections, unions), np.ones(len(unions))]
    return np.stack(columns, axis=1).astype(np.float64)


def _metrics(sums):
    """Return the metrics in the order of ``NAMES``, (K, 7), from K sums of ``_columns``."""
    passed = sums[:, : len(TENTHS)]
    intersection, union, total_iou, count = sums[:, len(TENTHS) :].T
    return np.column_stack([passed / count[:, None], iou(intersection, union), total_iou / count])
