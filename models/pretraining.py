"""The net that pretrains the slim trunk: it scores every word of a vocabulary at every cell.

It is the paper's per-word segmentation (section 4.1) with the labels of all expressions of an image
at once, which gives far more signal an image than single expressions do.
"""

import json

import caffe
from caffe import layers as L
from caffe import params as P

from models.sizes import WORDS
from models.vgg16 import add_trunk


def pretraining_net(size, options, rows):
    """The train net on ``options.data`` as a NetParameter; ``rows`` words V in the vocabulary.

    The loss is the multi-label logistic loss: summed over the words, averaged over the cells.
    """
    net = caffe.NetSpec()
    net.image, net.label = L.Python(
        ntop=2, module="ours_data", layer="OursDataLayer",
        param_str=json.dumps(dict(
            data=options.data, split="train", batch=options.batch, input=size.input, words=WORDS,
            vocabulary=rows, label=size.cells, label_rule=options.label_rule, label_words=True,
            seed=options.seed, workers=options.workers,
        )),
    )
    add_trunk(net, size)
    # Unit features, as the model uses them; a score must be able to grow to several units.
    net.features_unit = L.Python(
        net.fc8, module="l2_normalization", layer="L2NormalizationLayer"
    )
    net.score = L.Convolution(
        net.features_unit, num_output=rows, kernel_size=1,
        param=[dict(lr_mult=10, decay_mult=0), dict(lr_mult=10, decay_mult=0)],
        weight_filler=dict(type="gaussian", std=0.1), bias_filler=dict(type="constant"),
    )  # (N, V, h, w)
    net.loss = L.SigmoidCrossEntropyLoss(
        net.score, net.label, loss_weight=rows, loss_param=dict(normalization=P.Loss.VALID)
    )
    return net.to_proto()
