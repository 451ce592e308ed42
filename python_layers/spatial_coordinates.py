"""Coordinate channels for a feature map."""

import caffe

from objseg.batches import layer_parameters
from objseg.numerics import spatial_coordinates


class SpatialCoordinatesLayer(caffe.Layer):
    """The position of every cell as extra channels (paper section 3.1).

    Bottom: any map (N, C, H, W), of which only the shape counts. Top: (N, channels, H, W).

    Parameters:

    - channels: 2 (default; x, y in [-1, 1], as in the paper) or 8 (as in the authors' code).

    Example::

        layer { name: "coordinates" type: "Python" bottom: "fc8" top: "coordinates"
                python_param { module: "spatial_coordinates" layer: "SpatialCoordinatesLayer"
                               param_str: '{"channels": 2}' } }
    """

    def setup(self, bottom, top):
        """Check the parameters and the number of blobs."""
        self.channels = layer_parameters.read(self, bottom, top, channels=2)["channels"]
        spatial_coordinates(1, 1, self.channels)  # an unknown number fails here, not mid-way

    def reshape(self, bottom, top):
        """Follow the bottom's batch and map size."""
        layer_parameters.check_maps(self, bottom[0])
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
