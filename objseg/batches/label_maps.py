"""Inputs and labels of nets over whole images: "downsampled" ground truth (paper section 4.2)."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.order import BatchSettings
from objseg.errors import UserError
from objseg.geometry import coarse_label, resize_and_pad, resize_and_pad_mask


@dataclass(frozen=True, kw_only=True)
class LabelMapSettings(BatchSettings):
    """BatchSettings of a net over whole images.

    ``input`` is the side S of the image in pixels, ``label`` the side of the label map, S or a
    divisor of it, and ``label_rule`` "any" or "majority", see :func:`objseg.geometry.coarse_label`.
    """

    input: int
    label: int
    label_rule: str = "any"

    def __post_init__(self):
        super().__post_init__()
        if self.input % self.label:
            raise UserError(
                f"a label of side {self.label} does not divide an input of side {self.input}"
            )
        if self.label_rule not in ("any", "majority"):
            raise UserError(f"label_rule is {self.label_rule!r}, expected 'any' or 'majority'")

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Place BGR ``pixels`` uint8 (H, W, 3) in the input: uint8 (3, S, S), padding 0."""
        return resize_and_pad(pixels, self.input).transpose(2, 0, 1)

    def label_map(self, mask: np.ndarray) -> np.ndarray:
        """Place a ``mask`` bool (H, W) as its image, and downsample it: bool (label, label)."""
        square = resize_and_pad_mask(mask, self.input)
        return coarse_label(square, self.label, self.label_rule)
