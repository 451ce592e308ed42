"""SCRC: how probable is the expression as a caption of a box (paper section 4.1, [11]).

After "Natural Language Object Retrieval" (Hu et al., CVPR 2016): a language LSTM feeds two more,
one that sees the box's local and spatial features and one that sees the whole image.
"""

import caffe
from caffe import layers as L
from caffe.proto.caffe_pb2 import NetParameter

from models.lstm import UNIFORM, embed, lstm
from models.netspec import TEXT_INPUTS, data_layer, inputs, one_phase, stream, two_phases
from models.settings import Settings
from models.sizes import Size
from models.vgg16 import learnt
from objseg.data.expressions import MAX_WORDS
from objseg.regions.boxes import BOX_FEATURES
from objseg.regions.proposals import PROPOSALS


def inner_product(bottom, width: int, axis: int = 1):
    """Return a linear layer of ``bottom`` with SCRC's uniform start."""
    return L.InnerProduct(
        bottom, num_output=width, axis=axis, param=learnt(), weight_filler=UNIFORM,
        bias_filler=dict(type="constant"),
    )


def add_word_scores(net: caffe.NetSpec, size: Size, boxes: int | None = None):
    """Score the next word at every step; returns (T, N, V).

    The net has ``local`` (N, D_fc8 + 8), ``context`` (N, D_fc7), and ``tokens`` and
    ``continuation`` (T, N), which start with <go> at the first step. With ``boxes`` B there is one
    text, tokens and continuation are (T, 1), for B boxes of one image: local is (B, D_fc8 + 8),
    context (1, D_fc7), the scores are (T, B, V), and what no box changes is computed once.
    """
    net.embedding = embed(net.tokens, size, size.embedding)
    net.lstm_language = lstm(net.embedding, net.continuation, size.hidden)
    language, continuation = net.lstm_language, net.continuation
    if boxes:
        language = net.language_of_boxes = L.Tile(language, axis=1, tiles=boxes)
        continuation = net.continuation_of_boxes = L.Tile(continuation, axis=1, tiles=boxes)
    net.lstm_local = lstm(language, continuation, size.hidden, static=net.local)
    net.context_features = inner_product(net.context, size.fc[2])
    net.lstm_context = lstm(
        net.lstm_language, net.continuation, size.hidden, static=net.context_features
    )
    net.predict_local = inner_product(net.lstm_local, size.vocabulary, axis=2)
    context = net.predict_context = inner_product(net.lstm_context, size.vocabulary, axis=2)
    if boxes:
        context = net.context_of_boxes = L.Tile(context, axis=1, tiles=boxes)
    net.word_scores = L.Eltwise(net.predict_local, context)
    return net.word_scores


def train_net(size: Size, settings: Settings) -> NetParameter:
    """Return the train/val net: captions of the annotated regions' boxes."""
    def add(net, split):
        net.local, net.context, net.tokens, net.continuation, net.target = data_layer(
            "scrc_data", "ScrcDataLayer", 5, **stream(settings, split, size),
            features=settings.features,
        )
        net.loss = L.SoftmaxWithLoss(
            add_word_scores(net, size), net.target, loss_weight=MAX_WORDS,
            softmax_param=dict(axis=2), loss_param=dict(ignore_label=-1),
        )

    return two_phases(f"scrc {size.name}", settings, add)


def deploy_net(size: Size, settings: Settings) -> NetParameter:
    """Return the net for use: an image's boxes and a text in, word scores out."""
    net = caffe.NetSpec()
    inputs(
        net, local=[PROPOSALS, size.box_features[1] + BOX_FEATURES],
        context=[1, size.box_features[0]], **TEXT_INPUTS,
    )
    add_word_scores(net, size, PROPOSALS)
    return one_phase(f"scrc {size.name}", net)
