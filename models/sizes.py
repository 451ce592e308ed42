"""The sizes of every net: the paper's, one for photographs, and a slim one for a laptop's CPU."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Recipe:
    """How one model is trained: its batch and solver values, with the ``reason`` for them.

    ``batch`` expressions a batch (images for per-word), ``expressions_per_image`` of them on one
    image where the model ``shares_images``; the learning rate ``rate`` is multiplied by ``gamma``
    every ``step`` of ``iterations``, or falls to 0 in a straight line where ``step`` is None;
    ``decay`` and ``clip`` (of the gradients' norm) are Caffe's weight_decay and clip_gradients;
    ``start`` is the file of weights to start from, made by ``start_command``, or None for a random
    start.
    """

    batch: int
    iterations: int
    step: int | None
    rate: float
    reason: str
    shares_images: bool = False
    expressions_per_image: int = 1
    gamma: float = 0.1
    solver: str = "SGD"
    momentum: float = 0.9
    decay: float = 0.0005
    clip: float | None = None
    start: str | None = None
    start_command: str | None = None


@dataclass(frozen=True)
class Size:
    """Every width of the nets, and the recipes that go with it.

    ``trunk`` are the channels of VGG-16's five blocks, ``fc`` those of fc6, fc7 and fc8; ``fc[2]``
    is D_im of the paper (section 3.1), ``hidden`` is D_text (3.2), ``classifier`` is D_cls (3.3).
    ``stride`` is the side of a cell of the feature map in pixels of the input, see
    :func:`models.vgg16.add_convnet`, ``fc6_window`` and ``fc7_window`` are the sides of their
    kernels, ``fc7_dilation`` the distance of fc7's taps, all in cells, ``dropout`` is the share of
    the outputs of fc6 and fc7 that training drops. With ``cached_convnet`` the convolutions are
    held and training reads what they give from disk (:mod:`objseg.convnet`). With ``mirror`` it
    takes the mirror image of half the pictures. ``soft_iou`` is the weight of that term of the
    loss, see python_layers/weighted_logistic_loss.py. ``start_lacks`` are layers that the
    pretrained file has no weights for, which start from their fillers. ``published`` is a folder of
    trained weights that come with the project.
    ``crop`` is the side of a proposal's picture, ``frequent_words`` N of the per-word baseline,
    which with ``upsamples_words`` learns from maps as large as the input, as FCN-32s does, else
    from a label per cell, ``phrase`` the width of GroundeR's embedding and LSTM, ``attention`` of
    its attention, ``feature_scale`` the factor of the trunk's features of boxes, ``segments`` the
    proposals that an expression is trained on at a time in MCG classification (section 4.1).
    """

    name: str
    input: int
    trunk: tuple
    fc: tuple
    vocabulary: int
    embedding: int
    hidden: int
    classifier: int
    crop: int
    frequent_words: int
    upsamples_words: bool
    phrase: int
    attention: int
    feature_scale: float
    segments: int
    label_rule: str
    freeze_convnet: bool
    mode: str
    data: str
    snapshots: str
    recipes: dict = field(hash=False)
    stride: int = 32
    fc6_window: int = 7
    fc7_window: int = 1
    fc7_dilation: int = 1
    dropout: float = 0
    start_lacks: frozenset = frozenset()
    published: str | None = None
    cached_convnet: bool = False
    mirror: bool = False
    soft_iou: float = 0

    @property
    def cells(self):
        """Side of the feature map in cells."""
        return self.input // self.stride

    @property
    def word_maps(self):
        """Side of the label maps that the per-word baseline is trained on."""
        return self.input if self.upsamples_words else self.cells

    @property
    def convnet_channels(self):
        """Channels of the maps of :func:`models.vgg16.add_convnet`."""
        return self.trunk[4] if self.stride == 32 else self.trunk[3] + self.trunk[4]

    @property
    def box_features(self):
        """Channels of the two features of a box, see :func:`models.vgg16.crops_net`."""
        return 2 * (self.convnet_channels,) if "fc7" in self.start_lacks else self.fc[1:]

    @property
    def pretrained(self):
        """The file of the trunk's weights before any training on expressions."""
        return self.recipes["lowres"].start


AUTHORS = "The authors' code: a tenth of the rate after each third of the run."
VGG = dict(start="models/vgg16_start.caffemodel", start_command="tools/init_vgg16.py")

PAPER = Size(
    name="paper",
    input=512,
    trunk=(64, 128, 256, 512, 512),
    fc=(4096, 4096, 1000),
    vocabulary=8803,
    embedding=1000,
    hidden=1000,
    classifier=500,
    crop=224,
    frequent_words=500,
    upsamples_words=True,
    phrase=500,
    attention=128,
    feature_scale=1,
    segments=4,
    label_rule="any",
    freeze_convnet=False,
    mode="GPU",
    data="data/referit",
    snapshots="models",
    recipes={
        "lowres": Recipe(10, 30000, 10000, 0.01, AUTHORS, shares_images=True, **VGG),
        "highres": Recipe(10, 18000, 6000, 0.01, AUTHORS, shares_images=True),
        "per-word": Recipe(
            1, 100000, 100000, 2.5e-5,
            "FCN-32s: rate 1e-10 on the sum over 512x512 pixels, of which this loss is the mean.",
            momentum=0.99, start="models/fcn32s-heavy-pascal.caffemodel",
            start_command="tools/download.py fcn32s",
        ),
        "scrc": Recipe(
            50, 90000, 30000, 0.001, "Natural language object retrieval (SCRC).",
            gamma=0.5, decay=0, clip=10,
        ),
        "grounder": Recipe(
            40, 12000, 12000, 0.001, "Adam as in the reimplementations of GroundeR.",
            solver="Adam",
        ),
        "mcg": Recipe(
            10, 30000, 10000, 0.001, "As our stages, at the rate of fine-tuning.",
            shares_images=True, **VGG,
        ),
    },
)

MINUTES = "Minutes instead of days: Adam, with a tenth of the rate after each third of the run."
SLIM_TRUNK = dict(start="models/slim_trunk.caffemodel", start_command="tools/pretrain_trunk.py")
# Four expressions share a pass through the trunk, which is most of the work.
SHARED = dict(
    batch=32, shares_images=True, expressions_per_image=4, solver="Adam", reason=MINUTES,
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
    # Three cells: a proposal's picture is about as large as it is in the 256x256 input, the scale
    # that the trunk knows.
    crop=96,
    frequent_words=100,
    upsamples_words=False,
    phrase=128,
    attention=128,
    # The slim trunk's features are hundreds large, VGG's units: SCRC's LSTM needs them that small.
    feature_scale=0.001,
    segments=8,
    # A cell is 60 pixels of a photograph: most of what touches an object is not the object.
    label_rule="majority",
    freeze_convnet=True,
    mode="CPU",
    data="data/demo",
    snapshots="models/slim",
    recipes={
        "lowres": Recipe(iterations=360, step=120, rate=0.002, **SHARED, **SLIM_TRUNK),
        "highres": Recipe(iterations=150, step=50, rate=0.002, **SHARED),
        "per-word": Recipe(8, 300, 100, 0.0003, MINUTES, solver="Adam", **SLIM_TRUNK),
        "scrc": Recipe(50, 450, 150, 0.01, MINUTES, solver="Adam", decay=0, clip=10),
        "grounder": Recipe(40, 450, 150, 0.005, MINUTES, solver="Adam"),
        # Nearly all the expressions of an image share its segments: pictures are the work.
        "mcg": Recipe(
            48, 240, 80, 0.003, MINUTES, shares_images=True, expressions_per_image=6,
            solver="Adam", **SLIM_TRUNK,
        ),
    },
)

CONVOLUTIONS = dict(
    start="models/vgg16_convolutions.caffemodel",
    start_command="tools/download.py vgg16-convolutions",
)

# Measured on the val splits: overlap and precision rise as the rate falls, and little before.
PHOTOGRAPHS = dict(
    step=None, rate=0.001, solver="Adam",
    reason="Minutes on held convolutions: Adam, with a rate that falls to 0 in a straight line.",
)
SIX = dict(batch=48, shares_images=True, expressions_per_image=6, **PHOTOGRAPHS)

PHOTO = replace(
    SLIM,
    name="photo",
    input=384,
    trunk=PAPER.trunk,
    # Narrow, so that what is learnt of some thousand photographs fits into 16 MB.
    fc=(256, 256, 256),
    stride=16,
    fc6_window=3,
    # With fc6, a field of 7 cells, as many as fc6 of the paper has.
    fc7_window=3,
    fc7_dilation=2,
    dropout=0.3,
    start_lacks=frozenset({"fc6", "fc7", "fc8", "lstm"}),
    embedding=256,
    hidden=256,
    # Half the paper's side, a quarter of its time: 7 cells of 16 pixels.
    crop=112,
    feature_scale=1,
    cached_convnet=True,
    mirror=True,
    soft_iou=1,
    data="data/photos",
    snapshots="out/photo",
    published="models/photo",
    recipes={
        "lowres": Recipe(iterations=800, **SIX, **CONVOLUTIONS),
        "highres": Recipe(iterations=2000, **SIX),
        "per-word": Recipe(8, 800, **PHOTOGRAPHS, **CONVOLUTIONS),
        "scrc": replace(SLIM.recipes["scrc"], iterations=1200, step=400),
        "grounder": replace(SLIM.recipes["grounder"], iterations=1200, step=400),
        "mcg": Recipe(iterations=400, **SIX, **CONVOLUTIONS),
    },
)

SIZES = {size.name: size for size in (PAPER, PHOTO, SLIM)}
