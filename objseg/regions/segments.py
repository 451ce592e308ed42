"""Segment proposals of an image: reading them, and the inputs of models/mcg.py made of them."""

from pathlib import Path

import numpy as np

from objseg.data.masks import MaskError, bounding_box, load_masks
from objseg.errors import UserError
from objseg.regions.boxes import spatial_features
from objseg.regions.crops import masked_crop
from objseg.regions.index import ProposalIndex


def segments_file(folder: str | Path, image_id: str) -> Path:
    """Return the path of an image's segments, a file of :func:`objseg.data.masks.save_masks`."""
    return Path(folder) / f"{image_id}.npz"


class SegmentReader:
    """Reads the segment proposals that tools/make_proposals.py has made in ``folder``."""

    def __init__(self, folder: str | Path):
        self.folder, self.index = Path(folder), ProposalIndex(folder)

    def __call__(self, image_id: str, height: int, width: int) -> list[np.ndarray]:
        """Read an image's segments, best first: a list of bool (height, width).

        Empty ones are dropped; the whole image stands in for none at all. Raises UserError, saying
        what to run, when the file is missing, broken, or changed, or of an image of another size.
        """
        path = segments_file(self.folder, image_id)
        again = "make it again with: python tools/make_proposals.py --kind segments"
        try:
            self.index.verify(path)
            segments = [mask for mask in load_masks(path).values() if mask.any()]
        except FileNotFoundError:
            raise UserError(
                f"{path} does not exist: the segment proposals of the image {image_id}; make them "
                "with: python tools/make_proposals.py --kind segments"
            ) from None
        except MaskError as error:
            raise UserError(f"{error}; {again}") from error
        for mask in segments:
            if mask.shape != (height, width):
                raise UserError(
                    f"{path}: segments of {mask.shape[1]}x{mask.shape[0]} pixels for an image of "
                    f"{width}x{height}; {again}"
                )
        return segments or [np.ones((height, width), bool)]

    def digests(self, image_ids: list[str]) -> list[str | None]:
        """Return the sha256 of each image's file; None for one that is missing."""
        return [self.index.digest(segments_file(self.folder, name)) for name in image_ids]


def segment_inputs(
    image: np.ndarray, segments: list[np.ndarray], side: int
) -> dict[str, np.ndarray]:
    """Return the net's inputs for R ``segments``, bool (H, W), of ``image``, BGR uint8 (H, W, 3).

    {"image": :func:`objseg.regions.crops.masked_crop` of each, uint8 (R, 3, side, side);
    "spatial": the positions of their boxes, float32 (R, 8, 1, 1)}
    """
    height, width = image.shape[:2]
    boxes = [bounding_box(segment) for segment in segments]
    crops = np.stack([masked_crop(image, segment, side) for segment in segments])
    return {
        "image": crops.transpose(0, 3, 1, 2),
        "spatial": spatial_features(boxes, width, height)[:, :, None, None],
    }
