"""The settings of one run of a model: the switches, checked, over a size's defaults."""

import argparse
import math
from dataclasses import dataclass, replace

from models.sizes import SIZES, Recipe, Size
from objseg.errors import UserError


@dataclass(frozen=True)
class Settings:
    """The values that a model's nets and solver are written with; paths are written as they are.

    ``model`` is a name of :data:`models.registry.MODELS`, ``recipe`` its solver values, with the
    switches applied; ``start`` are the starting weights, a path or None for a random start;
    ``features`` and ``proposals`` are the folders of :mod:`objseg.regions.features` and
    tools/make_proposals.py for the baselines that need them. The rest is explained by the switches
    below. Raises UserError naming the switch out of range.
    """

    model: str
    recipe: Recipe
    data: str
    prototxt: str
    snapshots: str
    start: str | None
    features: str | None
    proposals: str | None
    spatial: int
    label_rule: str
    foreground: float
    background: float
    freeze_convnet: bool
    train_split: str
    iter_size: int
    seed: int
    workers: int
    mode: str

    def __post_init__(self):
        recipe = self.recipe
        counts = {
            "batch": recipe.batch, "iter-size": self.iter_size, "workers": self.workers,
            "expressions-per-image": recipe.expressions_per_image, "iterations": recipe.iterations,
        }
        for key, value in counts.items():
            if value < 1:
                raise UserError(f"--{key} is {value}, must be at least 1")
        for key in ("foreground", "background"):
            value = getattr(self, key)
            if not 0 <= value < math.inf:
                raise UserError(f"--{key} is {value}, must be a finite weight of at least 0")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed is {self.seed}, must be from 0 to 2147483647")
        if recipe.batch % recipe.expressions_per_image:
            raise UserError(
                f"--batch {recipe.batch} does not divide into images with "
                f"{recipe.expressions_per_image} expressions each (--expressions-per-image)"
            )

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


def add_switches(parser: argparse.ArgumentParser) -> None:
    """Add the switches that change the nets and solvers to a parser."""
    parser.add_argument("--size", choices=sorted(SIZES), default="paper",
                        help="the paper's nets, or slim ones, which a CPU trains in minutes")
    group = parser.add_argument_group("model and solver (defaults: the size's)")
    add = group.add_argument
    add("--spatial", type=int, choices=(2, 8), default=2,
        help="coordinate channels: 2 (paper) or 8 (authors' later code)")
    add("--label-rule", choices=("any", "majority"),
        help="coarse label of a cell: any pixel of it, or the majority")
    add("--foreground", type=float, default=3.0, metavar="ALPHA",
        help="loss weight of foreground pixels (paper: 3)")
    add("--background", type=float, default=1.0, metavar="ALPHA",
        help="loss weight of background pixels (paper: 1)")
    convnet = group.add_mutually_exclusive_group()
    convnet.add_argument("--freeze-convnet", dest="freeze_convnet", action="store_true",
                         default=None, help="hold conv1-5, as the authors' later code")
    convnet.add_argument("--train-convnet", dest="freeze_convnet", action="store_false",
                         help="train the whole network, as the paper")
    add("--train-split", choices=("train", "trainval"), default="train",
        help="trainval is the authors' later code, which validates on nothing")
    add("--batch", type=int, metavar="N", help="expressions in a batch")
    add("--iter-size", type=int, default=1, metavar="N",
        help="batches whose gradients are averaged in one step")
    add("--expressions-per-image", type=int, metavar="N",
        help="expressions of one image in a batch, which share its trunk (lowres, highres and mcg)")
    add("--vocabulary-size", type=int, metavar="N", help="rows of the word embedding")
    add("--iterations", type=int, metavar="N",
        help="length of the run; the rate schedule shrinks with it")
    add("--seed", type=int, default=1, metavar="N",
        help="of the data order and the fillers")
    add("--workers", type=int, default=2, metavar="N",
        help="processes that prepare batches")


def chosen_size(options: argparse.Namespace) -> Size:
    """Return the Size for parsed switches."""
    size = SIZES[options.size]
    if options.vocabulary_size is None:
        return size
    if options.vocabulary_size < 1:
        raise UserError(f"--vocabulary-size is {options.vocabulary_size}, must be at least 1")
    return replace(size, vocabulary=options.vocabulary_size)


def chosen_recipe(options: argparse.Namespace, size: Size, model: str) -> Recipe:
    """Return the Recipe of ``model`` for parsed switches.

    A shorter or longer run keeps the shape of the recipe's rate schedule.
    """
    recipe = size.recipes[model]
    names = ["batch", "iterations"]
    if recipe.shares_images:
        names.append("expressions_per_image")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if "iterations" in given:
        scaled = recipe.step * given["iterations"] / recipe.iterations
        given["step"] = max(1, round(scaled))
    return replace(recipe, **given)


def from_switches(options: argparse.Namespace, size: Size, model: str, **values) -> Settings:
    """Return the Settings of ``model`` for parsed switches.

    ``values`` are the settings without a switch.
    """
    for key in ("label_rule", "freeze_convnet"):
        value = getattr(options, key)
        values[key] = getattr(size, key) if value is None else value
    for key in ("spatial", "foreground", "background", "train_split", "iter_size", "seed",
                "workers"):
        values[key] = getattr(options, key)
    return Settings(model=model, recipe=chosen_recipe(options, size, model), **values)
