"""Where an iteration's time goes, by ``caffe time``, and how near it is to the machine's peak.

The peak is the rate of one large matrix product by the same BLAS, threads or GPU.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import caffe
from caffe import layers as L

from checks import nets
from checks.options import Options
from objseg.caffe.blas import cpu_kernels
from objseg.caffe.devices import last_words
from objseg.caffe.prototxt import prototxt
from objseg.errors import UserError
from objseg.files import write_text
from objseg.training import cost

SIDE = {"paper": 4096, "slim": 1024}
"""Rows and columns of the matrices whose product is the peak, by the size of the nets."""


def caffe_time(net, folder: Path, gpu: int | None, iterations: int) -> dict[str, dict[str, float]]:
    """Time every layer of a NetParameter: {layer: {"forward": seconds, "backward": seconds}}.

    The means of ``iterations`` after one that does not count. Raises UserError when Caffe fails.
    """
    write_text(folder / "timed.prototxt", prototxt(net))
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = [shutil.which("caffe", path=places), "time", "-model", folder / "timed.prototxt",
               "-iterations", str(iterations)]
    if gpu is not None:
        command += ["-gpu", str(gpu)]
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "GLOG_minloglevel": "0", "GLOG_logtostderr": "1"},
    )
    if done.returncode:
        raise UserError(f"caffe time: {last_words(done.stderr)}")
    seconds = {}
    # "I20261126 12:56:42.813172 23790 caffe.cpp:403]   pool5<TAB>backward: 0.002 ms."
    for layer, direction, milliseconds in re.findall(
        r"\] +(\S+)\t(forward|backward): (\S+) ms\.", done.stderr
    ):
        seconds.setdefault(layer, {})[direction] = float(milliseconds) / 1e3
    return seconds


def peak(options: Options) -> float:
    """Return the operations per second of one product of square float32 matrices."""
    side, net = SIDE[options.size], caffe.NetSpec()
    net.matrix = L.Input(input_param=dict(shape=dict(dim=[side, side])))
    net.product = L.InnerProduct(net.matrix, num_output=side, bias_term=False)
    times = caffe_time(net.to_proto(), options.work, options.gpu, options.iterations)
    return 2 * side**3 / times["product"]["forward"]


def time_layers(options: Options) -> dict:
    """Time the layers of a training iteration of stage 2, an image; returns the ``peak`` and them.

    A layer has ``seconds``, ``operations``, and ``multiplied``, the operations that are left of
    them by Winograd's method, all three [forward, backward].
    """
    caffe.set_mode_cpu()
    parameters = nets.read_train_net(options.prototxt("train", "highres"), options.data, 1)
    net = nets.load(parameters, caffe.TRAIN)
    costs = cost.layer_costs(net, cost.frozen_layers(parameters))
    winograd = options.gpu is None and cpu_kernels() != "stock"
    times = caffe_time(parameters, options.work, options.gpu, options.iterations)
    return {"peak": peak(options), "passed": True, "layers": [
        {
            "name": layer.name, "type": layer.type,
            "operations": [layer.forward, layer.backward],
            "multiplied": [
                int(count * (_winograd_share(computed) if winograd else 1))
                for count in (layer.forward, layer.backward)
            ],
            "seconds": [times[layer.name]["forward"], times[layer.name]["backward"]],
        }
        for layer, computed in zip(costs, net.layers)
    ]}


def _winograd_share(layer):
    """The share of a layer's products that engine/kernels computes.

    36 of 144 for a tile of 4x4 pixels with kernels of 3x3, 64 of 196 for one of 2x2 with 7x7.
    """
    if layer.type != "Convolution":
        return 1
    outputs, inputs, *kernel = layer.blobs[0].shape
    wide = min(outputs, inputs) >= 8
    return {(3, 3): 36 / 144, (7, 7): 64 / 196}.get(tuple(kernel), 1) if wide else 1
