"""The paper's loss: logistic regression with separate weights for foreground and background.

Optionally with a term for the overlap of small objects, which have few of the pixels.
"""

import math

import caffe
import numpy as np

from objseg.batches import layer_parameters
from objseg.errors import UserError
from objseg.numerics import (
    soft_iou_gradient,
    soft_iou_loss,
    weighted_logistic_gradient,
    weighted_logistic_loss,
)


class WeightedLogisticLossLayer(caffe.Layer):
    """Mean over all pixels of the weighted logistic loss (paper equations 1 and 2).

    L = alpha_f log(1 + exp(-v)) where the label is 1, alpha_b log(1 + exp(v)) where it is 0. With
    ``soft_iou`` that many times the mean over the samples of 1 - soft IoU is added
    (:func:`objseg.numerics.soft_iou_loss`).

    Bottoms: score v (N, 1, H, W), label (N, 1, H, W) of 0 and 1. Top: a scalar.

    Parameters:

    - foreground: alpha_f, a finite weight of at least 0; default and paper: 3;
    - background: alpha_b, likewise; default and paper: 1;
    - soft_iou: likewise; default and paper: 0.

    Example::

        layer { name: "loss" type: "Python" bottom: "mlp_l2" bottom: "label" top: "loss"
                loss_weight: 1
                python_param { module: "weighted_logistic_loss" layer: "WeightedLogisticLossLayer"
                               param_str: '{"foreground": 3, "background": 1}' } }
    """

    def setup(self, bottom, top):
        """Check the parameters and the number of blobs."""
        self.weights = layer_parameters.read(
            self, bottom, top, counts=(2, 1), foreground=3.0, background=1.0, soft_iou=0.0
        )
        for key, value in self.weights.items():
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise UserError(
                    f"WeightedLogisticLossLayer: {key} is {value!r}, expected a finite weight >= 0"
                )
        self.soft_iou = self.weights.pop("soft_iou")

    def reshape(self, bottom, top):
        """Check that every score has a label; the top is a scalar."""
        score, label = tuple(bottom[0].shape), tuple(bottom[1].shape)
        if score != label:
            raise UserError(
                f"WeightedLogisticLossLayer: score of shape {score} and label of shape {label}, "
                "expected the same"
            )
        top[0].reshape()

    def forward(self, bottom, top):
        """Compute the mean loss."""
        top[0].data[...] = np.mean([self._loss(*sample) for sample in samples(bottom)])

    def _loss(self, score, label):
        loss = weighted_logistic_loss(score, label, **self.weights)
        if self.soft_iou:
            loss += self.soft_iou * soft_iou_loss(score, label)
        return loss

    def backward(self, top, propagate_down, bottom):
        """Compute the gradient of the score, scaled by the loss weight in the top's diff."""
        if propagate_down[1]:
            raise UserError("WeightedLogisticLossLayer cannot propagate to its labels")
        if propagate_down[0]:
            factor = top[0].diff / len(bottom[0].data)
            for diff, sample in zip(bottom[0].diff, samples(bottom)):
                diff[...] = factor * self._gradient(*sample)[0]

    def _gradient(self, score, label):
        gradient = weighted_logistic_gradient(score, label, **self.weights)
        if self.soft_iou:
            gradient += self.soft_iou * soft_iou_gradient(score, label)
        return gradient


def samples(bottom):
    """Yield score and label (1, 1, H, W) of each sample: one is small enough for a core's cache."""
    for n in range(len(bottom[0].data)):
        yield bottom[0].data[n:n + 1], bottom[1].data[n:n + 1]
