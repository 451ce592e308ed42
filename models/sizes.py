"""The two sizes of the one model: the paper's, and a slim one that trains on a laptop's CPU."""

from dataclasses import dataclass

from objseg.expressions import LENGTH

STRIDE = 32
"""Input pixels per cell of the feature map: five 2x2 poolings (paper section 3.1)."""

WORDS = LENGTH
"""Steps T of the LSTM; longer expressions are cut (the authors' code)."""


@dataclass(frozen=True)
class Stage:
    """Solver values of one training stage.

    ``iterations`` in all, the learning rate ``rate`` divided by 10 every ``step`` iterations.
    """

    iterations: int
    step: int
    rate: float


@dataclass(frozen=True)
class Size:
    """Every width of the model and the solver values that go with it.

    ``trunk`` are the channels of VGG-16's five blocks, ``fc`` those of fc6, fc7 and fc8; ``fc[2]``
    is D_im of the paper (section 3.1), ``hidden`` is D_text (3.2), ``classifier`` is D_cls (3.3).
    """

    name: str
    input: int
    trunk: tuple
    fc: tuple
    vocabulary: int
    embedding: int
    hidden: int
    classifier: int
    batch: int
    expressions_per_image: int
    label_rule: str
    freeze_convnet: bool
    lowres: Stage
    highres: Stage
    solver: str
    rate_reason: str
    mode: str
    trunk_weights: str
    trunk_command: str
    data: str
    snapshots: str

    @property
    def cells(self):
        """Side of the feature map in cells."""
        return self.input // STRIDE


PAPER = Size(
    name="paper",
    input=512,
    trunk=(64, 128, 256, 512, 512),
    fc=(4096, 4096, 1000),
    vocabulary=8803,
    embedding=1000,
    hidden=1000,
    classifier=500,
    batch=10,
    expressions_per_image=1,
    label_rule="any",
    freeze_convnet=False,
    lowres=Stage(iterations=30000, step=10000, rate=0.01),
    highres=Stage(iterations=18000, step=6000, rate=0.01),
    solver="SGD",
    rate_reason="The authors' code: a tenth of the rate after each third of the run.",
    mode="GPU",
    trunk_weights="models/vgg16_start.caffemodel",
    trunk_command="tools/init_vgg16.py",
    data="data/referit",
    snapshots="models",
)

SLIM = Size(
    name="slim",
    input=256,
    trunk=(8, 16, 32, 64, 64),
    fc=(128, 128, 128),
    vocabulary=1000,
    embedding=64,
    hidden=128,
    classifier=256,
    # Four expressions share a pass through the trunk, which is most of the work.
    batch=32,
    expressions_per_image=4,
    # A cell is 60 pixels of a photograph: most of what touches an object is not the object.
    label_rule="majority",
    freeze_convnet=True,
    lowres=Stage(iterations=450, step=150, rate=0.002),
    highres=Stage(iterations=240, step=80, rate=0.002),
    solver="Adam",
    rate_reason="Minutes instead of days: Adam in place of the paper's SGD, in the same thirds.",
    mode="CPU",
    trunk_weights="models/slim_trunk.caffemodel",
    trunk_command="tools/pretrain_trunk.py",
    data="data/demo",
    snapshots="models/slim",
)

SIZES = {size.name: size for size in (PAPER, SLIM)}
