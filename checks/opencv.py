"""The trunk in Caffe and in OpenCV's dnn module: the same prototxt, weights and image."""

import time

import caffe
import cv2
from caffe.proto import caffe_pb2

from checks import nets
from checks.comparison import length_error
from checks.options import Options
from objseg.caffe.weights import read_net

LIMIT = 1e-3
"""The greatest length of the difference of the two fc8, divided by the length of Caffe's."""


def trunk(parameters: caffe_pb2.NetParameter, last: str = "fc8") -> caffe_pb2.NetParameter:
    """Cut a deploy net after its layer ``last``; Inputs that no layer reads go too."""
    layers = list(parameters.layer)
    layers = layers[:[layer.name for layer in layers].index(last) + 1]
    read = {name for layer in layers for name in layer.bottom}
    cut = caffe_pb2.NetParameter(name=f"{parameters.name} to {last}")
    cut.layer.extend(layer for layer in layers if layer.bottom or read & set(layer.top))
    return cut


def time_opencv(options: Options) -> dict:
    """Time the trunk's forward pass, an image, in turn by Caffe and by OpenCV on the CPU."""
    caffe.set_mode_cpu()
    parameters = trunk(read_net(options.prototxt("deploy", "highres")))
    net = nets.load(parameters, options.work, caffe.TEST)
    nets.fill(net)
    weights = options.work / "trunk.caffemodel"
    net.save(str(weights))
    other = cv2.dnn.readNetFromCaffe(str(options.work / "net.prototxt"), str(weights))
    weights.unlink()
    image = net.blobs["image"].data.copy()
    seconds, opencv = [], []
    for _ in range(options.iterations + 1):
        began = time.perf_counter()
        net.forward()
        between = time.perf_counter()
        other.setInput(image)
        found = other.forward("fc8")
        seconds.append(between - began)
        opencv.append(time.perf_counter() - between)
    error = length_error(net.blobs["fc8"].data, found)
    return {  # the first pass allocates
        "seconds": seconds[1:], "opencv": opencv[1:], "version": cv2.__version__,
        "error": error, "limit": LIMIT, "passed": error <= LIMIT,
    }
