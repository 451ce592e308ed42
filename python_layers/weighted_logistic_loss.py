"""The paper's loss: logistic regression with separate weights for foreground and background."""

import math

import caffe

from objseg.batches import layer_parameters
from objseg.errors import UserError
from objseg.numerics import weighted_logistic_gradient, weighted_logistic_loss


class WeightedLogisticLossLayer(caffe.Layer):
    """Mean over all pixels of the weighted logistic loss (paper equations 1 and 2).

    L = alpha_f log(1 + exp(-v)) where the label is 1, alpha_b log(1 + exp(v)) where it is 0.

    Bottoms: score v (N, 1, H, W), label (N, 1, H, W) of 0 and 1. Top: a scalar.

    Parameters:

    - foreground: alpha_f, a finite weight of at least 0; default and paper: 3;
    - background: alpha_b, likewise; default and paper: 1.

    Example::

        layer { name: "loss" type: "Python" bottom: "mlp_l2" bottom: "label" top: "loss"
                loss_weight: 1
                python_param { module: "weighted_logistic_loss" layer: "WeightedLogisticLossLayer"
                               param_str: '{"foreground": 3, "background": 1}' } }
    """

    def setup(self, bottom, top):
        """Check the parameters and the number of blobs."""
        self.weights = layer_parameters.read(
            self, bottom, top, counts=(2, 1), foreground=3.0, background=1.0
        )
        for key, value in self.weights.items():
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise UserError(
                    f"WeightedLogisticLossLayer: {key} is {value!r}, expected a finite weight >= 0"
                )

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
        top[0].data[...] = weighted_logistic_loss(bottom[0].data, bottom[1].data, **self.weights)

    def backward(self, top, propagate_down, bottom):
        """Compute the gradient of the score, scaled by the loss weight in the top's diff."""
        if propagate_down[1]:
            raise UserError("WeightedLogisticLossLayer cannot propagate to its labels")
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * weighted_logistic_gradient(
                bottom[0].data, bottom[1].data, **self.weights
            )
