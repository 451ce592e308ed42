"""What one run of a model can choose: the generator's switches, checked, over a size's defaults."""

import math
from dataclasses import dataclass, replace
from typing import Optional

from models.sizes import SIZES

STAGES = ("lowres", "highres")


@dataclass(frozen=True)
class Settings:
    """The values that the nets and solvers are written with; paths are written as they are.

    ``start`` maps each stage to its starting weights, a path or None for a random start.
    ``iterations`` None means the stage's own length. The rest is explained by the switches below.
    Raises ValueError naming the switch that is out of range.
    """

    data: str
    prototxt: str
    snapshots: str
    start: dict
    spatial: int
    label_rule: str
    foreground: float
    background: float
    freeze_convnet: bool
    train_split: str
    batch: int
    iter_size: int
    expressions_per_image: int
    iterations: Optional[int]
    seed: int
    workers: int
    mode: str

    def __post_init__(self):
        for key in ("batch", "iter_size", "expressions_per_image", "workers", "iterations"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"--{key.replace('_', '-')} is {value}, must be at least 1")
        for key in ("foreground", "background"):
            value = getattr(self, key)
            if not 0 <= value < math.inf:
                raise ValueError(f"--{key} is {value}, must be a finite weight of at least 0")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed is {self.seed}, must be from 0 to 2147483647")
        if self.batch % self.expressions_per_image:
            raise ValueError(
                f"--batch {self.batch} does not divide into images with "
                f"{self.expressions_per_image} expressions each (--expressions-per-image)"
            )


def add_switches(parser):
    """Add the switches that change the nets and solvers to an argparse parser."""
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    group = parser.add_argument_group("model and solver (defaults: the size's)")
    group.add_argument("--spatial", type=int, choices=(2, 8), default=2,
                       help="coordinate channels: 2 (paper) or 8 (authors' later code)")
    group.add_argument("--label-rule", choices=("any", "majority"),
                       help="coarse label of a cell: any pixel of it, or the majority")
    group.add_argument("--foreground", type=float, default=3.0, metavar="ALPHA",
                       help="loss weight of foreground pixels (paper: 3)")
    group.add_argument("--background", type=float, default=1.0, metavar="ALPHA",
                       help="loss weight of background pixels (paper: 1)")
    convnet = group.add_mutually_exclusive_group()
    convnet.add_argument("--freeze-convnet", dest="freeze_convnet", action="store_true",
                         default=None, help="hold conv1-5, as the authors' later code")
    convnet.add_argument("--train-convnet", dest="freeze_convnet", action="store_false",
                         help="train the whole network, as the paper")
    group.add_argument("--train-split", choices=("train", "trainval"), default="train",
                       help="trainval is the authors' later code, which validates on nothing")
    group.add_argument("--batch", type=int, help="expressions in a batch")
    group.add_argument("--iter-size", type=int, default=1,
                       help="batches whose gradients are averaged in one step")
    group.add_argument("--expressions-per-image", type=int,
                       help="expressions of one image in a batch, which share its trunk")
    group.add_argument("--vocabulary-size", type=int, help="rows of the word embedding")
    group.add_argument("--iterations", type=int,
                       help="length of the stage; the rate schedule shrinks with it")
    group.add_argument("--seed", type=int, default=1, help="of the data order and the fillers")
    group.add_argument("--workers", type=int, default=2, help="processes that prepare batches")


def from_switches(options, **values):
    """Return (Size, Settings) for parsed switches; ``values`` are the Settings without a switch."""
    size = SIZES[options.size]
    if options.vocabulary_size is not None:
        if options.vocabulary_size < 1:
            raise ValueError(
                f"--vocabulary-size is {options.vocabulary_size}, must be at least 1"
            )
        size = replace(size, vocabulary=options.vocabulary_size)
    for key in ("label_rule", "freeze_convnet", "batch", "expressions_per_image"):
        given = getattr(options, key)
        values[key] = getattr(size, key) if given is None else given
    for key in ("spatial", "foreground", "background", "train_split", "iter_size", "iterations",
                "seed", "workers"):
        values[key] = getattr(options, key)
    return size, Settings(**values)
