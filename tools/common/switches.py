"""Switches of tools/train.py and tools/generate_prototxt.py, which change nets and solvers."""

import argparse
import math
from dataclasses import replace

from common.arguments import add_size, not_negative, positive

from models.settings import Settings
from models.sizes import SIZES, Size


def weight(text: str) -> float:
    """Parse a finite number of at least 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a finite weight of at least 0")
    return number


def add_switches(parser: argparse.ArgumentParser) -> None:
    """Add the switches that change the nets and solvers to a parser."""
    add_size(parser)
    group = parser.add_argument_group("model and solver (defaults: the size's)")
    add = group.add_argument
    add("--spatial", type=int, choices=(2, 8), default=2,
        help="coordinate channels: 2 (paper) or 8 (authors' later code)")
    add("--label-rule", choices=("any", "majority"),
        help="coarse label of a cell: any pixel of it, or the majority")
    add("--foreground", type=weight, default=3.0, metavar="ALPHA",
        help="loss weight of foreground pixels (paper: 3)")
    add("--background", type=weight, default=1.0, metavar="ALPHA",
        help="loss weight of background pixels (paper: 1)")
    add("--soft-iou", type=weight, metavar="WEIGHT",
        help="loss weight of 1 - soft IoU, which counts small objects like large ones (paper: 0)")
    convnet = group.add_mutually_exclusive_group()
    convnet.add_argument("--freeze-convnet", dest="freeze_convnet", action="store_true",
                         default=None, help="hold conv1-5, as the authors' later code")
    convnet.add_argument("--train-convnet", dest="freeze_convnet", action="store_false",
                         help="train the whole network, as the paper")
    add("--cached-convnet", action=argparse.BooleanOptionalAction,
        help="train on what the held convolutions give of each picture, which "
        "tools/extract_convnet.py has computed once, and not on pictures")
    add("--mirror", action=argparse.BooleanOptionalAction,
        help="train on the mirror images of half the pictures, with left and right exchanged in "
        "the expressions")
    add("--train-split", choices=("train", "trainval"), default="train",
        help="trainval is the authors' later code, which validates on nothing")
    add("--batch", type=positive, metavar="N", help="expressions in a batch")
    add("--iter-size", type=positive, default=1, metavar="N",
        help="batches whose gradients are averaged in one step")
    add("--expressions-per-image", type=positive, metavar="N",
        help="expressions of one image in a batch, which share its trunk (lowres, highres and mcg)")
    add("--vocabulary-size", type=positive, metavar="N", help="rows of the word embedding")
    add("--iterations", type=positive, metavar="N",
        help="length of the run; the rate schedule shrinks with it")
    add("--seed", type=not_negative, default=1, metavar="N",
        help="of the data order and the fillers")
    add("--workers", type=positive, default=2, metavar="N",
        help="processes that prepare batches")


def chosen_size(options: argparse.Namespace) -> Size:
    """Return the Size for parsed switches."""
    size = SIZES[options.size]
    return replace(size, vocabulary=options.vocabulary_size or size.vocabulary)


def chosen_settings(options: argparse.Namespace, size: Size, model: str, **values) -> Settings:
    """Return the Settings of ``model`` for parsed switches.

    ``values`` are the settings without a switch. A shorter or longer run keeps the shape of the
    recipe's rate schedule. Raises UserError where the switches do not fit together.
    """
    recipe = size.recipes[model]
    if options.batch:
        recipe = replace(recipe, batch=options.batch)
    if options.expressions_per_image and recipe.shares_images:
        recipe = replace(recipe, expressions_per_image=options.expressions_per_image)
    if options.iterations:
        step = recipe.step and max(
            1, round(recipe.step * options.iterations / recipe.iterations)
        )
        recipe = replace(recipe, iterations=options.iterations, step=step)
    for key in ("label_rule", "freeze_convnet", "mirror", "cached_convnet", "soft_iou"):
        value = getattr(options, key)
        values[key] = getattr(size, key) if value is None else value
    if not values.pop("cached_convnet"):
        values["convnet"] = None
    for key in ("spatial", "foreground", "background", "train_split", "iter_size", "seed",
                "workers"):
        values[key] = getattr(options, key)
    return Settings(model=model, recipe=recipe, **values)
