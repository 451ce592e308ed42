"""The formulas of the Python layers as plain numpy functions; arrays are (N, C, H, W) float32."""

import numpy as np

from objseg.errors import UserError

EPSILON = 1e-12
"""Least squared norm, so that a zero vector stays zero; as tf.nn.l2_normalize of the authors."""


def l2_normalize(x):
    """Divide each position's channel vector by its Euclidean norm.

    Returns (y, norm): y like x, and norm (N, 1, H, W), at least ``sqrt(EPSILON)``.
    """
    norm = np.sqrt(np.maximum(np.square(x).sum(axis=1, keepdims=True), EPSILON))
    return x / norm, norm


def l2_normalize_gradient(dy, y, norm):
    """Gradient with respect to x of ``y, norm = l2_normalize(x)`` for the gradient ``dy`` of y.

    With u = x / |x|, du/dx = (I - u u^T) / |x|.
    """
    return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / norm


def spatial_coordinates(height, width, channels=2):
    """Coordinate maps (channels, height, width) float32.

    With 2 channels (paper section 3.1): x and y of each cell, from (-1, -1) in the upper left to
    (+1, +1) in the lower right; 0 along a side of one cell. With 8 (the authors' code): xmin,
    ymin, xmax, ymax, x and y of the centre, all in [-1, 1], and 1/width, 1/height.
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


def weighted_logistic_loss(score, label, foreground, background):
    """Mean over all pixels of the weighted logistic loss (paper equations 1 and 2).

    ``score`` v is any real, ``label`` M is 0 or 1, both of one shape; ``foreground`` and
    ``background`` are alpha_f and alpha_b. The loss of a pixel is alpha_f log(1 + exp(-v)) where
    M = 1, alpha_b log(1 + exp(v)) where M = 0. Returns a float.
    """
    margin = np.where(label > 0, -score, score)
    weight = np.where(label > 0, np.float32(foreground), np.float32(background))
    # log(1 + exp(m)) without overflow: the exponent is never positive.
    loss = np.maximum(margin, 0) + np.log1p(np.exp(-np.abs(margin)))
    return float(np.mean(weight * loss, dtype=np.float64))


def weighted_logistic_gradient(score, label, foreground, background):
    """Gradient of :func:`weighted_logistic_loss` with respect to ``score``, of its shape."""
    decay = np.exp(-np.abs(score))
    sigmoid = np.where(score >= 0, 1, decay) / (1 + decay)
    gradient = np.where(label > 0, foreground * (sigmoid - 1), background * sigmoid)
    return (gradient / score.size).astype(score.dtype)
