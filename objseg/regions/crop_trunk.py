"""The features of boxes, computed: the pretrained trunk of SCRC and GroundeR on crops."""

from pathlib import Path

import numpy as np

from objseg.caffe.devices import use_device
from objseg.caffe.weights import load_net
from objseg.errors import UserError
from objseg.geometry import MEAN_BGR
from objseg.regions.boxes import whole_image
from objseg.regions.crops import crop
from objseg.regions.edge_boxes import default_forest, edge_boxes, structured_forest
from objseg.regions.features import FeatureReader, RegionFeatures
from objseg.regions.proposals import candidates

CROPS_AT_ONCE = 16
"""Crops in a pass; bounds the memory (1 GiB at 224x224), and more at once is no faster."""

OUTPUTS = "fc7_features", "fc8_features"


class CropTrunk:
    """The frozen trunk: ``deploy`` is deploy_crops.prototxt, ``weights`` the pretrained weights.

    ``gpu`` is a device number or None. Raises WeightsError when the two do not belong together,
    UserError when ``deploy`` is another net.
    """

    def __init__(self, deploy: Path, weights: Path, gpu: int | None = None):
        use_device(gpu)
        self.source = f"{deploy} with the weights {weights}"
        self.net = load_net(deploy, weights)
        missing = {"image", *OUTPUTS} - set(self.net.blobs)
        if missing:
            raise UserError(
                f"{deploy}: not a net of crops, it lacks {', '.join(sorted(missing))}; write it "
                "again with: python tools/generate_prototxt.py"
            )
        self.side = self.net.blobs["image"].shape[2]

    def features(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return fc7 (B, D_fc7) and fc8 (B, D_fc8), float16, of ``boxes`` (B, 4) of ``image``.

        ``image`` is BGR uint8 (H, W, 3). Raises UserError when float16 cannot hold them.
        """
        parts = [
            self._forward([crop(image, box, self.side) for box in boxes[first:][:CROPS_AT_ONCE]])
            for first in range(0, len(boxes), CROPS_AT_ONCE)
        ]
        with np.errstate(over="ignore"):
            fc7, fc8 = (np.concatenate(rows).astype(np.float16) for rows in zip(*parts))
        if not (np.isfinite(fc7).all() and np.isfinite(fc8).all()):
            raise UserError(
                f"{self.source}: a feature beyond 65504 or not a number; these are no weights of a "
                "trained trunk"
            )
        return fc7, fc8

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> RegionFeatures:
        """Return the RegionFeatures of candidate ``boxes`` (B, 4) of ``image``."""
        height, width = image.shape[:2]
        fc7, fc8 = self.features(image, np.vstack([boxes, whole_image(width, height)]))
        return RegionFeatures(boxes, fc7[:-1], fc8[:-1], fc7[-1], width, height)

    def _forward(self, crops):
        blobs = self.net.blobs
        if blobs["image"].shape[0] != len(crops):
            blobs["image"].reshape(len(crops), *blobs["image"].shape[1:])
            self.net.reshape()
        blobs["image"].data[...] = (np.stack(crops) - MEAN_BGR).transpose(0, 3, 1, 2)
        self.net.forward()
        outputs = [blobs[name].data for name in OUTPUTS]
        return [output.reshape(len(crops), -1).copy() for output in outputs]


def region_source(configuration):
    """Open the features of a method's images; returns a function that gives an image's.

    The function takes a BGR image (H, W, 3) and its id in the data set, and returns RegionFeatures.
    They are read from the folder that ``configuration``, a
    :class:`objseg.methods.method.Configuration`, names, or else computed.
    """
    if configuration.features is not None:
        reader = FeatureReader(configuration.features)
        return lambda image, image_id: reader(image_id)

    trunk = CropTrunk(configuration.crops, configuration.trunk, configuration.gpu)
    path = default_forest()
    forest = structured_forest(path) if path else None

    def compute(image, image_id):
        boxes = edge_boxes(image, model=forest)
        return trunk(image, candidates(boxes, image.shape[1], image.shape[0]))

    return compute
