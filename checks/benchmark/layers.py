"""Where an iteration's time goes, and how near its matrix products come to the machine's peak.

The floor is the time that the operations of :mod:`objseg.training.cost` take at the peak: the
rate of one large sgemm by the BLAS and on the threads that Caffe has too (numpy multiplies with the
same library). A convolution is im2col, a product, and col2im on the way back; its products are
measured alone as well, so that what is left is the copying.
"""

import time
from statistics import median

import numpy as np

from checks.benchmark.models import solver_of
from checks.gpu.comparison import first_computed
from objseg.training import cost

SIDE = 4096
"""Rows and columns of the matrices whose product is the peak."""


def product_seconds(times, a, b):
    """Seconds (list) of ``times`` products of the matrices ``a`` and ``b``, after one more."""
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def peak(times, side=SIDE):
    """Operations a second of the best of ``times`` float32 products of square matrices."""
    matrix = np.random.RandomState(1).randn(side, side).astype(np.float32)
    return 2 * side**3 / min(product_seconds(times, matrix, matrix))


def product_of(net, name):
    """(M, K, N) of a convolution's product, weights (M, K) by columns (K, N), for an item."""
    weights = net.params[name][0]
    (top,) = net.top_names[name]
    out = weights.shape[0]
    return out, weights.count // out, int(np.prod(net.blobs[top].shape[2:]))


def time_products(shape, times):
    """Seconds of a convolution's products alone: (forward, backward), medians."""
    M, K, N = shape
    random = np.random.RandomState(1)
    weights, columns, top = (random.rand(*s).astype(np.float32) for s in ((M, K), (K, N), (M, N)))
    forward = median(product_seconds(times, weights, columns))
    for_weights = median(product_seconds(times, top, columns.T))
    for_bottom = median(product_seconds(times, weights.T, top))
    return forward, for_weights + for_bottom


def time_layers(check, count=10):
    """Time every layer of a training iteration of stage 2, an image, one by one.

    Returns the ``peak``; the ``count`` layers that take longest, with their products alone where
    they are convolutions; and the seconds of the ``rest``.
    """
    check.device()
    side = SIDE // 4 if check.size else SIDE
    best = peak(check.iterations, side)
    solver, parameters = solver_of(check, "highres")
    net = solver.net
    costs = {c.name: c for c in cost.layer_costs(net, cost.frozen_layers(parameters))}
    layers = range(first_computed(net), len(net.layers))
    names, clock = list(net._layer_names), Clock()
    for turn in range(check.iterations + 1):
        clock.keep = turn > 0  # the first one allocates
        clock("clearing the gradients", "update", net.clear_param_diffs)
        clock("data", "forward", net._forward, 0, layers[0] - 1)
        for index in layers:
            clock(names[index], "forward", net._forward, index, index)
        for index in reversed(layers):
            clock(names[index], "backward", net._backward, index, index)
        clock("the solver's step", "update", solver.apply_update)
    seconds = clock.medians()
    slowest = sorted(costs, key=lambda name: -sum(seconds[name].values()))[:count]
    rows = [
        {
            "name": name, "type": costs[name].type, **seconds[name],
            "operations": [costs[name].forward, costs[name].backward],
            "products": time_products(product_of(net, name), check.iterations)
            if costs[name].type == "Convolution" else None,
        }
        for name in slowest
    ]
    rest = {}
    for name, of_layer in seconds.items():
        kind = costs[name].type if name in costs else name
        if name not in slowest:
            rest[kind] = rest.get(kind, 0) + sum(of_layer.values())
    best = max(best, peak(check.iterations, side))  # programs beside may have slowed the first
    return {
        "peak": best, "layers": rows, "rest": rest,
        "seconds": sum(sum(of_layer.values()) for of_layer in seconds.values()),
        "operations": [sum(c.forward for c in costs.values()),
                       sum(c.backward for c in costs.values())],
        "passed": True,
    }


class Clock:
    """Collects what calls take: ``clock(name, direction, function, *arguments)``."""

    def __init__(self):
        self.seconds, self.keep = {}, True

    def __call__(self, name, direction, function, *arguments):
        """Call ``function``; while ``keep`` is set its seconds count."""
        began = time.perf_counter()
        function(*arguments)
        if self.keep:
            of_name = self.seconds.setdefault(name, {}).setdefault(direction, [])
            of_name.append(time.perf_counter() - began)

    def medians(self):
        """{name: {direction: seconds}}."""
        return {name: {direction: median(of_it) for direction, of_it in of_name.items()}
                for name, of_name in self.seconds.items()}
