"""Per-word segmentation: FCN-32s with an output for each frequent word (paper section 4.1)."""

import caffe
from caffe import layers as L
from caffe import params as P

from models.netspec import image_layer, inputs, one_phase, two_phases
from models.ours import add_upsampling
from models.vgg16 import add_trunk, learnt


def add_word_scores(net, size, settings, dropout=False):
    """Score every frequent word at every cell; returns (I, W, h, w).

    There is no fc8: FCN-32s scores fc7. Words are rare, so a score starts at a probability of 2 %.
    """
    features = add_trunk(
        net, size, freeze_convnet=settings.freeze_convnet, last="fc7", dropout=dropout
    )
    net.score_words = L.Convolution(
        features, num_output=size.frequent_words, kernel_size=1,
        param=learnt(),
        weight_filler=dict(type="constant", value=0), bias_filler=dict(type="constant", value=-4),
    )
    return net.score_words


def as_images(scores, channels, height, width):
    """View ``scores`` as (-1, channels, height, width), so that one filter upsamples every word."""
    shape = dict(dim=[-1, channels, height, width])
    return L.Reshape(scores, reshape_param=dict(shape=shape))


def train_net(size, settings):
    """The train/val net as a NetParameter.

    A pixel is labelled with the words of every expression whose region it is in. The loss is the
    multi-label logistic loss, summed over words, mean over pixels.
    """
    def add(net, split):
        words, side, cells = size.frequent_words, size.word_maps, size.cells
        net.image, net.label = image_layer(
            2, size, settings, split, side, label_words=True, frequent_words=words
        )
        scores = add_word_scores(net, size, settings, dropout=not settings.freeze_convnet)
        if side > cells:
            net.word_maps = as_images(scores, 1, cells, cells)
            upsampled = add_upsampling(net, net.word_maps, learnt=False)
            scores = net.scores = as_images(upsampled, words, side, side)
        net.loss = L.SigmoidCrossEntropyLoss(
            scores, net.label, loss_weight=words, loss_param=dict(normalization=P.Loss.VALID)
        )

    return two_phases(f"{settings.model} {size.name}", settings, add)


def deploy_net(size, settings):
    """The net for use as a NetParameter: an image and K ``words`` (K,) in, (K, 1, S, S) out.

    The trunk runs once an image; only the maps of the words asked for are upsampled.
    """
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, size.input, size.input], words=[1])
    scores = add_word_scores(net, size, settings)
    net.word_maps = as_images(scores, 1, size.cells, size.cells)
    net.chosen_maps = L.BatchReindex(net.word_maps, net.words)
    add_upsampling(net, net.chosen_maps, learnt=False)
    return one_phase(f"{settings.model} {size.name}", net)
