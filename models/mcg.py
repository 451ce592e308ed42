"""Classification over segmentation proposals (paper section 4.1): does this one match?"""

import caffe
from caffe import layers as L
from caffe.proto.caffe_pb2 import NetParameter

from models.lstm import add_language
from models.netspec import TEXT_INPUTS, data_layer, inputs, one_phase, stream, two_phases, unit
from models.ours import add_classifier
from models.settings import Settings
from models.sizes import Size
from models.vgg16 import add_crop_trunk
from objseg.regions.boxes import BOX_FEATURES


def add_match(net: caffe.NetSpec, size: Size, freeze_convnet: bool):
    """Score M pairs of a segment and an expression; returns (M, 1, 1, 1).

    The net has masked crops as ``image`` (R, 3, C, C), ``spatial`` (R, 8, 1, 1) of their boxes as
    in GroundeR, whose pipeline the paper follows, expressions as ``tokens`` and ``continuation``
    (T, N), and ``region_index`` and ``sample_index`` (M,), the segment and the expression of each
    pair. The trunk runs once for a segment, however many expressions it is paired with.
    """
    net.features_unit = unit(add_crop_trunk(net, size, freeze_convnet))
    net.regions = L.Concat(net.features_unit, net.spatial)
    net.region_pairs = L.BatchReindex(net.regions, net.region_index)
    net.expression_pairs = L.BatchReindex(add_language(net, size), net.sample_index)
    net.fused = L.Concat(net.region_pairs, net.expression_pairs)
    return add_classifier(net, size, net.fused)


def train_net(size: Size, settings: Settings) -> NetParameter:
    """Return the train/val net: logistic loss over proposals, trained end to end."""
    def add(net, split):
        (
            net.image, net.spatial, net.tokens, net.continuation, net.region_index,
            net.sample_index, net.label,
        ) = data_layer(
            "mcg_data", "McgDataLayer", 7, **stream(settings, split, size),
            proposals=f"{settings.proposals}/segments", crop=size.crop, segments=size.segments,
            expressions_per_image=settings.recipe.expressions_per_image,
        )
        net.loss = L.SigmoidCrossEntropyLoss(
            add_match(net, size, settings.freeze_convnet), net.label
        )

    return two_phases(f"mcg {size.name}", settings, add)


def deploy_net(size: Size, settings: Settings) -> NetParameter:
    """Return the net for use: segments and expressions in, a score per pair out."""
    net = caffe.NetSpec()
    inputs(
        net, image=[1, 3, size.crop, size.crop], spatial=[1, BOX_FEATURES, 1, 1], **TEXT_INPUTS,
        region_index=[1], sample_index=[1],
    )
    add_match(net, size, settings.freeze_convnet)
    return one_phase(f"mcg {size.name}", net)
