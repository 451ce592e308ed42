"""Per-word segmentation: FCN-32s with an output for each frequent word (paper section 4.1).

The slim trunk is pretrained by nearly the same net, with an output for every word.
"""

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto.caffe_pb2 import NetParameter

from models.netspec import (
    add_pictures,
    data_layer,
    inputs,
    one_phase,
    pictures,
    stream,
    two_phases,
    unit,
    with_data_layer,
)
from models.ours import add_upsampling
from models.settings import Settings
from models.sizes import Size
from models.vgg16 import add_trunk, learnt


def add_word_scores(net: caffe.NetSpec, size: Size, settings: Settings, dropout: float = 0):
    """Score every frequent word at every cell; returns (I, W, h, w).

    There is no fc8: FCN-32s scores fc7. Words are rare, so a score starts at a probability of 2 %.
    """
    features = add_trunk(
        net, size, settings.freeze_convnet, last="fc7", dropout=dropout,
        convnet=net.tops.get("convnet"),
    )
    net.score_words = L.Convolution(
        features, num_output=size.frequent_words, kernel_size=1,
        param=learnt(),
        weight_filler=dict(type="constant", value=0), bias_filler=dict(type="constant", value=-4),
    )
    return net.score_words


def as_images(scores, channels: int, height: int, width: int):
    """View ``scores`` as (-1, channels, height, width), so that one filter upsamples every word."""
    shape = dict(dim=[-1, channels, height, width])
    return L.Reshape(scores, reshape_param=dict(shape=shape))


def word_loss(scores, label, words: int):
    """Return the multi-label logistic loss, summed over ``words``, mean over pixels."""
    return L.SigmoidCrossEntropyLoss(
        scores, label, loss_weight=words, loss_param=dict(normalization=P.Loss.VALID)
    )


def train_net(size: Size, settings: Settings) -> NetParameter:
    """Return the train/val net: a pixel has the words of every expression whose region it is in."""
    def add(net, split):
        words, side, cells = size.frequent_words, size.word_maps, size.cells
        picture, net.label = data_layer(
            "per_word_data", "PerWordDataLayer", 2, **stream(settings, split),
            **pictures(size, settings, split, side), outputs=words,
        )
        add_pictures(net, settings, picture)
        dropout = size.dropout if settings.freeze_convnet else 0.5
        scores = add_word_scores(net, size, settings, dropout)
        if side > cells:
            net.word_maps = as_images(scores, 1, cells, cells)
            upsampled = add_upsampling(net, net.word_maps, size.stride, learnt=False)
            scores = net.scores = as_images(upsampled, words, side, side)
        net.loss = word_loss(scores, net.label, words)

    return two_phases(f"{settings.model} {size.name}", settings, add)


def deploy_net(size: Size, settings: Settings) -> NetParameter:
    """Return the net for use: an image and K ``words`` (K,) in, (K, 1, S, S) out.

    The trunk runs once per image; only the maps of the words asked for are upsampled.
    """
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.input, size.input], words=[1])
    scores = add_word_scores(net, size, settings)
    net.word_maps = as_images(scores, 1, size.cells, size.cells)
    net.chosen_maps = L.BatchReindex(net.word_maps, net.words)
    add_upsampling(net, net.chosen_maps, size.stride, learnt=False)
    return one_phase(f"{settings.model} {size.name}", net)


def pretraining_net(size: Size, words: int, **stream) -> NetParameter:
    """Return the net that pretrains the slim trunk: it scores all the ``words`` V at every cell.

    ``stream`` are the parameters of :class:`objseg.batches.order.BatchSettings`. Labels of all
    expressions of an image at once give far more signal per image than one expression does.
    """
    net = caffe.NetSpec()
    net.image, net.label = data_layer(
        "per_word_data", "PerWordDataLayer", 2, **stream, input=size.input, label=size.cells,
        label_rule="majority", outputs=words, all_words=True,
    )
    # Unit features, as the model uses them; a score must be able to grow to several units.
    net.features_unit = unit(add_trunk(net, size))
    net.score = L.Convolution(
        net.features_unit, num_output=words, kernel_size=1,
        param=[dict(lr_mult=10, decay_mult=0), dict(lr_mult=10, decay_mult=0)],
        weight_filler=dict(type="gaussian", std=0.1), bias_filler=dict(type="constant"),
    )  # (I, V, h, w)
    net.loss = word_loss(net.score, net.label, words)
    return with_data_layer(net)
