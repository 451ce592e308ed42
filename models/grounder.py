"""GroundeR, supervised: attention over candidate boxes (paper section 4.1, [12]).

After "Grounding of Textual Phrases in Images by Reconstruction" (Rohrbach et al., ECCV 2016),
equation 3, and its public reimplementations; the original code is not public.
"""

import caffe
from caffe import layers as L
from caffe.proto.caffe_pb2 import NetParameter

from models.lstm import add_last_state, embed, lstm
from models.netspec import TEXT_INPUTS, data_layer, inputs, one_phase, stream, two_phases
from models.settings import Settings
from models.sizes import Size
from models.vgg16 import learnt
from objseg.regions.boxes import BOX_FEATURES
from objseg.regions.proposals import PROPOSALS


def linear(bottom, width: int):
    """Return a linear layer of ``bottom``."""
    return L.InnerProduct(
        bottom, num_output=width, param=learnt(), weight_filler=dict(type="xavier"),
        bias_filler=dict(type="constant"),
    )


def add_attention(net: caffe.NetSpec, size: Size, region_index=None):
    """Score M pairs of a box and a phrase; returns (M, 1).

    The net has ``features`` (R, D_fc7 + 8) of boxes, phrases as ``tokens`` and ``continuation``
    (T, N), and ``sample_index`` (M,), the phrase of each pair. ``region_index`` (M,) is its box;
    without it pair m is about box m.
    """
    net.features_normalized = L.BatchNorm(net.features)
    regions = net.region_attention = linear(net.features_normalized, size.attention)
    if region_index is not None:
        regions = net.region_pairs = L.BatchReindex(regions, region_index)
    net.embedding = embed(net.tokens, size, size.phrase)
    net.lstm_phrase = lstm(net.embedding, net.continuation, size.phrase)
    add_last_state(net, net.lstm_phrase)
    net.phrase = L.Reshape(net.last_state, reshape_param=dict(shape=dict(dim=[-1, size.phrase])))
    net.phrase_attention = linear(net.phrase, size.attention)
    net.phrase_pairs = L.BatchReindex(net.phrase_attention, net.sample_index)
    net.attention = L.Eltwise(regions, net.phrase_pairs)
    net.attention_relu = L.ReLU(net.attention, in_place=True)
    net.pair_scores = linear(net.attention_relu, 1)
    return net.pair_scores


def train_net(size: Size, settings: Settings) -> NetParameter:
    """Return the train/val net: cross entropy against the box of best IoU."""
    def add(net, split):
        net.features, net.tokens, net.continuation, net.sample_index, net.label = data_layer(
            "grounder_data", "GrounderDataLayer", 5, **stream(settings, split, size),
            features=settings.features, candidates=PROPOSALS,
        )
        net.scores = L.Reshape(
            add_attention(net, size), reshape_param=dict(shape=dict(dim=[-1, PROPOSALS]))
        )
        net.loss = L.SoftmaxWithLoss(net.scores, net.label)

    return two_phases(f"grounder {size.name}", settings, add)


def deploy_net(size: Size, settings: Settings) -> NetParameter:
    """Return the net for use: boxes and phrases in, a score (M, 1) per pair out."""
    net = caffe.NetSpec()
    inputs(
        net, features=[1, size.box_features[0] + BOX_FEATURES], **TEXT_INPUTS,
        region_index=[1], sample_index=[1],
    )
    add_attention(net, size, net.region_index)
    return one_phase(f"grounder {size.name}", net)
