"""The trunk in Caffe and in OpenCV's dnn module: the same prototxt, weights and image."""

import time

import caffe
import cv2
import numpy as np

from checks.gpu import nets
from checks.gpu.comparison import length_error

LIMIT = 1e-3
"""The greatest length of the difference of fc8, by the length of fc8."""


def trunk(parameters, last="fc8"):
    """Cut a deploy NetParameter behind its layer ``last``; inputs that nothing reads go too."""
    layers = list(parameters.layer)
    layers = layers[:[layer.name for layer in layers].index(last) + 1]
    read = {name for layer in layers for name in layer.bottom}
    cut = type(parameters)(name=f"{parameters.name} to {last}")
    cut.layer.extend(layer for layer in layers if layer.bottom or read & set(layer.top))
    return cut


def time_opencv(check):
    """Time the trunk's forward pass in turn by Caffe and by OpenCV, on an image."""
    check.device()
    parameters = trunk(nets.read_net(check.path("deploy", "highres")))
    net = nets.load(parameters, check.work, caffe.TEST)
    nets.fill(net, parameters)
    weights = check.work / "trunk.caffemodel"
    net.save(str(weights))
    other = cv2.dnn.readNetFromCaffe(str(check.work / "net.prototxt"), str(weights))
    weights.unlink()
    image = net.blobs["image"].data.copy()
    seconds = {"caffe": [], "opencv": []}
    for turn in range(check.iterations + 1):
        began = time.perf_counter()
        net.forward()
        between = time.perf_counter()
        other.setInput(image)
        found = other.forward("fc8")
        if turn:
            seconds["caffe"].append(between - began)
            seconds["opencv"].append(time.perf_counter() - between)
    error = length_error(net.blobs["fc8"].data, found)
    return {
        **seconds, "version": cv2.__version__, "error": error, "limit": LIMIT,
        "passed": bool(np.isfinite(error) and error <= LIMIT),
    }
