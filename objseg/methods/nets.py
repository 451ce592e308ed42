"""Opening a method's trained net."""

from objseg.caffe.devices import use_device
from objseg.caffe.weights import check_vocabulary, load_net
from objseg.data.expressions import Vocabulary


def open_net(deploy, weights, gpu=None, fixed=()):
    """Load the net of a ``deploy`` prototxt on GPU number ``gpu``, or on the CPU; a caffe.Net.

    ``weights`` is a caffemodel, or None for the random start; it may lack the layers ``fixed``.
    Raises WeightsError or UserError when the files do not belong together.
    """
    use_device(gpu)
    return load_net(deploy, weights, fixed)


def open_net_and_words(configuration):
    """Load the net of a Configuration and the Vocabulary that it reads; returns both."""
    net = open_net(configuration.deploy, configuration.weights, configuration.gpu)
    vocabulary = Vocabulary.load(configuration.vocabulary)
    check_vocabulary(net, vocabulary, configuration.deploy, configuration.vocabulary)
    return net, vocabulary
