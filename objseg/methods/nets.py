"""Opening a method's trained net. Caffe is loaded when that is asked for, not before."""

from objseg.caffe.weights import check_vocabulary, load_net


def open_net(deploy, weights, gpu=None, vocabulary=None, source=None, fixed=()):
    """Load the net of a ``deploy`` prototxt on GPU number ``gpu``, or on the CPU; a caffe.Net.

    ``weights`` is a caffemodel, or None for the random start; it may lack the layers ``fixed``.
    ``vocabulary``, if any, is the Vocabulary that the net is to read, from the file ``source``.
    Raises WeightsError or UserError when the files do not belong together.
    """
    from objseg.caffe.devices import use_device

    use_device(gpu)
    net = load_net(deploy, weights, fixed)
    if vocabulary is not None:
        check_vocabulary(net, vocabulary, deploy, source)
    return net
