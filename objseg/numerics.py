"""The formulas of the Python layers as plain numpy functions; arrays are (N, C, H, W) float32."""

import numpy as np

from objseg.errors import UserError

EPSILON = 1e-12
"""The least squared norm, so that a zero vector stays zero; tf.nn.l2_normalize's, which the authors
use."""


def l2_normalize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide each position's channel vector by its Euclidean norm.

    Returns (y, norm): y like x, and norm (N, 1, H, W), at least ``sqrt(EPSILON)``.
    """
    norm = np.sqrt(np.maximum(np.square(x).sum(axis=1, keepdims=True), EPSILON))
    return x / norm, norm


def l2_normalize_gradient(dy: np.ndarray, y: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return the gradient with respect to x, given the gradient ``dy`` of y.

    ``y, norm`` are those of :func:`l2_normalize`. With u = x / |x|, du/dx = (I - u u^T) / |x|.
    """
    return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / norm


def spatial_coordinates(height: int, width: int, channels: int = 2) -> np.ndarray:
    """Return coordinate maps (channels, height, width) float32.

    With 2 channels (paper section 3.1): x and y of each cell, from (-1, -1) in the upper left to
    (+1, +1) in the lower right; 0 along a side of one cell. With 8 (the authors' code): xmin,
    ymin, xmax, ymax, x and y of the centre, all in [-1, 1], and 1/width, 1/height. Raises
    UserError for another number of channels.
    """
    if channels == 2:
        x = np.linspace(-1, 1, width) if width > 1 else np.zeros(1)
        y = np.linspace(-1, 1, height) if height > 1 else np.zeros(1)
        return np.stack(np.meshgrid(x, y)).astype(np.float32)
    if channels == 8:
        x_edges, y_edges = np.linspace(-1, 1, width + 1), np.linspace(-1, 1, height + 1)
        xmin, ymin = np.meshgrid(x_edges[:-1], y_edges[:-1])
        xmax, ymax = np.meshgrid(x_edges[1:], y_edges[1:])
        ones = np.ones((height, width))
        return np.stack([
            xmin, ymin, xmax, ymax, (xmin + xmax) / 2, (ymin + ymax) / 2,
            ones / width, ones / height,
        ]).astype(np.float32)
    raise UserError(f"{channels} coordinate channels: expected 2 (paper) or 8 (later code)")


def weighted_logistic_loss(
    score: np.ndarray, label: np.ndarray, foreground: float, background: float
) -> float:
    """Return the mean over all pixels of the weighted logistic loss (paper equations 1 and 2).

    ``score`` v is any real, ``label`` M is 0 or 1, both of one shape; ``foreground`` and
    ``background`` are alpha_f and alpha_b. The loss of a pixel is alpha_f log(1 + exp(-v)) where
    M = 1, alpha_b log(1 + exp(v)) where M = 0.
    """
    label = _as_factor(label, score)
    margin = score * (1 - 2 * label)
    # log(1 + exp(m)) without overflow: the exponent is never positive.
    loss = np.maximum(margin, 0) + np.log1p(np.exp(-np.abs(margin)))
    return float(np.mean(_weights(label, foreground, background) * loss, dtype=np.float64))


def weighted_logistic_gradient(
    score: np.ndarray, label: np.ndarray, foreground: float, background: float
) -> np.ndarray:
    """Return the gradient of :func:`weighted_logistic_loss` with respect to ``score``."""
    label = _as_factor(label, score)
    weights = _weights(label, foreground / score.size, background / score.size)
    return weights * (sigmoid(score) - label)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) of any array, within 6e-8 in float32.

    numpy computes tanh with vectors; SciPy's expit takes four times as long.
    """
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _as_factor(label, score):
    """Return 1 where ``label`` is set, else 0, as ``score``'s type.

    numpy multiplies with vectors; np.where takes ten times as long.
    """
    return (label > 0).astype(score.dtype)


def _weights(label, foreground, background):
    return label * (foreground - background) + background


def soft_iou_loss(score: np.ndarray, label: np.ndarray) -> float:
    """Return the mean over the N samples of 1 - soft IoU (Rahman and Wang, ISVC 2016).

    Soft IoU is (sum p M + 1) / (sum (p + M - p M) + 1) over the pixels of a sample, with
    p = sigmoid(v) of ``score`` (N, 1, H, W), ``label`` M 0 or 1 of the same shape. The ones, which
    are not in the paper, make an empty prediction of an empty label right.
    """
    intersection, union = _soft_areas(sigmoid(score), label)
    return float(np.mean(1 - intersection / union))


def soft_iou_gradient(score: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the gradient of :func:`soft_iou_loss` with respect to ``score``."""
    p = sigmoid(score)
    intersection, union = _soft_areas(p, label)
    slopes = ((factor / len(score)).astype(score.dtype)
              for factor in (-1 / union, intersection / union**2))
    return _weights(_as_factor(label, score), *slopes) * p * (1 - p)


def _soft_areas(p, label):
    """Return soft intersections and unions of the samples, float64 (N, 1, 1, 1), each plus 1."""
    def area(values):
        return values.sum(axis=(1, 2, 3), keepdims=True, dtype=np.float64)

    intersection = area(p * label)
    return intersection + 1, area(p) + area(label) - intersection + 1
