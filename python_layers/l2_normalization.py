"""L2 normalisation over channels."""

import caffe

from objseg.batches import layer_parameters
from objseg.numerics import l2_normalize, l2_normalize_gradient


class L2NormalizationLayer(caffe.Layer):
    """y = x / |x|_2 over the channels of each position (paper sections 3.1 and 3.2).

    Bottom: x (N, C, H, W). Top: y of the same shape. No parameters. A zero vector stays zero.

    Example::

        layer { name: "features_unit" type: "Python" bottom: "fc8" top: "features_unit"
                python_param { module: "l2_normalization" layer: "L2NormalizationLayer" } }
    """

    def setup(self, bottom, top):
        """Check the parameters and the number of blobs."""
        layer_parameters.read(self, bottom, top)

    def reshape(self, bottom, top):
        """Give the top the bottom's shape."""
        layer_parameters.check_maps(self, bottom[0])
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        """Normalise, and keep the norms for backward."""
        top[0].data[...], self.norm = l2_normalize(bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient through the projection onto the sphere's tangent."""
        if propagate_down[0]:
            bottom[0].diff[...] = l2_normalize_gradient(top[0].diff, top[0].data, self.norm)
