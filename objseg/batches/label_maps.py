"""Inputs and labels of nets over whole images: "downsampled" ground truth (paper section 4.2)."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.groups import Group, Groups
from objseg.batches.order import BatchSettings
from objseg.errors import UserError
from objseg.geometry import coarse_label, resize_and_pad, resize_and_pad_mask


@dataclass(frozen=True, kw_only=True)
class LabelMapSettings(BatchSettings):
    """BatchSettings of a net over whole images.

    ``input`` is the side S of the image in pixels, ``label`` the side of the label map, S or a
    divisor of it, and ``label_rule`` "any" or "majority", see :func:`objseg.geometry.coarse_label`.
    ``convnet`` is a folder of :mod:`objseg.convnet`, whose maps the batches have in place of
    images, or None. With ``mirror`` half the images are mirrored.
    """

    input: int
    label: int
    label_rule: str = "any"
    convnet: str | None = None
    mirror: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.input % self.label:
            raise UserError(
                f"a label of side {self.label} does not divide an input of side {self.input}"
            )
        if self.label_rule not in ("any", "majority"):
            raise UserError(f"label_rule is {self.label_rule!r}, expected 'any' or 'majority'")

    def groups(self, group_size: int | None) -> Groups:
        """Open the images and samples, in groups."""
        return Groups(self, group_size, self.convnet, self.mirror)

    def picture_shape(self, count: int, groups: Groups) -> dict[str, tuple]:
        """Return {name: shape} of the top with ``count`` pictures: image, or convnet."""
        if groups.convnet:
            return {"convnet": (count, *groups.convnet.shape)}
        return {"image": (count, 3, self.input, self.input)}

    def pictures(self, groups: list[Group]) -> dict[str, np.ndarray]:
        """Return {name: array} of that top: images uint8 (I, 3, S, S), padding 0, or the maps."""
        if self.convnet:
            return {"convnet": np.stack([group.maps for group in groups])}
        squares = [
            mirror_if(group.mirrored, resize_and_pad(group.pixels, self.input)) for group in groups
        ]
        return {"image": np.stack(squares).transpose(0, 3, 1, 2)}

    def label_map(self, group: Group, region: str) -> np.ndarray:
        """Place the mask of a region as its picture, and downsample it: bool (label, label)."""
        square = resize_and_pad_mask(group.masks[region], self.input)
        return mirror_if(group.mirrored, coarse_label(square, self.label, self.label_rule))


def mirror_if(mirrored: bool, image: np.ndarray) -> np.ndarray:
    """Return an ``image`` (H, W) or (H, W, C), or its mirror image."""
    return image[:, ::-1] if mirrored else image
