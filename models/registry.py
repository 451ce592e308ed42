"""Every model that can be trained, by the name of its prototxt files."""

from collections.abc import Callable
from dataclasses import dataclass

from models import grounder, mcg, ours, per_word, scrc


@dataclass(frozen=True)
class Model:
    """A model: its two nets, and where it starts.

    ``train_net`` and ``deploy_net`` take (Size, Settings) and return a NetParameter.
    ``new_layers`` may start from their fillers; the rest must be in the starting weights, which are
    those of the model ``start_model``, or else the recipe's, as ``start_reason`` says.
    ``segments_pixels`` is whether it is the paper's own model, whose response map is a
    segmentation.
    """

    title: str
    train_net: Callable
    deploy_net: Callable
    new_layers: frozenset = frozenset()
    start_model: str | None = None
    start_reason: str = ""
    segments_pixels: bool = False


FUSION = frozenset({"embedding", "mlp_l1", "mlp_l2"})

MODELS = {
    "per-word": Model(
        "Per-word segmentation (paper section 4.1)", per_word.train_net, per_word.deploy_net,
        frozenset({"score_words"}),
        start_reason="From FCN-32s for PASCAL VOC (paper section 4.1), or the slim trunk.",
    ),
    "scrc": Model(
        "SCRC, the spatial context recurrent ConvNet (section 4.1, [11])",
        scrc.train_net, scrc.deploy_net,
    ),
    "grounder": Model(
        "GroundeR, supervised (section 4.1, [12])", grounder.train_net, grounder.deploy_net,
    ),
    "mcg": Model(
        "Classification over segmentation proposals (section 4.1)", mcg.train_net, mcg.deploy_net,
        FUSION, start_reason="From the pretrained trunk (paper section 4.1).",
    ),
    "lowres": Model(
        "Stage 1, lowres", ours.train_net, ours.deploy_net,
        FUSION, start_reason="From the pretrained trunk (paper section 3.3).",
        segments_pixels=True,
    ),
    "highres": Model(
        "Stage 2, highres", ours.train_net, ours.deploy_net,
        frozenset({"upsample32s"}), start_model="lowres",
        start_reason="From stage 1 by layer name; the deconvolution starts bilinear (paper 4.2).",
        segments_pixels=True,
    ),
}
"""Models by name, in Table 1's order."""
