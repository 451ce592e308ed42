"""Coordinate channels for a feature map."""

import caffe

from objseg.batches import layer_parameters
from objseg.numerics import spatial_coordinates


class SpatialCoordinatesLayer(caffe.Layer):
    """The position of every cell as extra channels (paper section 3.1).

    Bottom: any map (N, C, H, W), of which only the shape counts. Top: (N, channels, H, W).
    Parameters: ``channels``, 2 (x, y in [-1, 1]; the paper) or 8 (the authors' code).
    There is nothing to propagate.

    Example::

        layer { name: "coordinates" type: "Python" bottom: "fc8" top: "coordinates"
                python_param { module: "spatial_coordinates" layer: "SpatialCoordinatesLayer"
                               param_str: '{"channels": 2}' } }
    """

    def setup(self, bottom, top):
        """Check the parameters and the number of blobs."""
        name = type(self).__name__
        self.channels = layer_parameters.parse(name, self.param_str, channels=2)["channels"]
        spatial_coordinates(1, 1, self.channels)  # an unknown number fails here, not mid-way
        layer_parameters.check_count(name, "bottoms", bottom, 1)
        layer_parameters.check_count(name, "tops", top, 1)

    def reshape(self, bottom, top):
        """Follow the bottom's batch and map size."""
        layer_parameters.check_maps(type(self).__name__, bottom[0])
        count, _, height, width = bottom[0].shape
        top[0].reshape(count, self.channels, height, width)
        self.maps = spatial_coordinates(height, width, self.channels)

    def forward(self, bottom, top):
        """Write the same maps for every item of the batch."""
        top[0].data[...] = self.maps

    def backward(self, top, propagate_down, bottom):
        """Coordinates do not depend on the bottom's values: its gradient is zero."""
        if propagate_down[0]:
            bottom[0].diff[...] = 0
