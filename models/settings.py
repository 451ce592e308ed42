"""The settings of one run of a model: the switches over a size's defaults."""

from dataclasses import dataclass, replace

from models.sizes import Recipe
from objseg.errors import UserError


@dataclass(frozen=True)
class Settings:
    """The values that a model's nets and solver are written with; paths are written as they are.

    ``model`` is a name of :data:`models.registry.MODELS`, ``recipe`` its solver values, with the
    switches applied; ``start`` are the starting weights, a path or None for a random start;
    ``features`` and ``proposals`` are the folders of :mod:`objseg.regions.features` and
    tools/make_proposals.py for the baselines that need them, ``convnet`` that of
    :mod:`objseg.convnet` or None for training on pictures. The rest is explained by the switches of
    tools/train.py. Raises UserError where the batch does not divide into images, and for maps of
    convolutions that are trained.
    """

    model: str
    recipe: Recipe
    data: str
    prototxt: str
    snapshots: str
    start: str | None
    features: str | None
    proposals: str | None
    convnet: str | None
    mirror: bool
    spatial: int
    label_rule: str
    foreground: float
    background: float
    soft_iou: float
    freeze_convnet: bool
    train_split: str
    iter_size: int
    seed: int
    workers: int
    mode: str

    def __post_init__(self):
        batch, unit = self.recipe.batch, self.recipe.expressions_per_image
        if batch % unit:
            raise UserError(f"--batch {batch} does not divide into images with {unit} expressions "
                            "each (--expressions-per-image)")
        if self.convnet and not self.freeze_convnet:
            raise UserError("--cached-convnet needs --freeze-convnet: when convolutions are "
                            "trained, what they give changes")

    def divided(self, ranks: int) -> "Settings":
        """Return the Settings of each of several ``ranks``, which share a batch among them.

        Raises UserError when they cannot.
        """
        recipe, unit = self.recipe, self.recipe.expressions_per_image
        if recipe.batch % (ranks * unit):
            images = f", in images of {unit} expressions" if unit > 1 else ""
            raise UserError(
                f"{ranks} ranks cannot share a batch of {recipe.batch} evenly{images}; give "
                f"--batch a multiple of {ranks * unit}, or start another number of ranks"
            )
        return replace(self, recipe=replace(recipe, batch=recipe.batch // ranks))
