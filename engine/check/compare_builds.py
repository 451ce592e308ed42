"""Compare two builds of Caffe bit by bit.

    python engine/check/compare_builds.py --record A.npz     # with the one, then with the other
    python engine/check/compare_builds.py A.npz B.npz

Each build records, from the same random weights and inputs, all blobs of the deploy net of the
high resolution, and its weights and losses after ten iterations of training. It prints the least
times that a pass and an iteration took. Start it in a checkout whose python_layers are on the
PYTHONPATH; it needs Python 3.9, numpy and pycaffe alone. To compare all bits, set
OPENBLAS_NUM_THREADS=1, CAFFE_STOCK_CPU=1 and the same OPENBLAS_CORETYPE for both.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import numpy as np

IMAGES, EXPRESSIONS, WORDS = {"slim": 2, "paper": 1}, {"slim": 4, "paper": 1}, 20
SIDE, FOLDER = {"slim": 256, "paper": 512}, {"slim": "prototxt/slim", "paper": "prototxt"}


def inputs(size, random):
    """Random inputs of a train net by name ({str: array})."""
    images, expressions, side = IMAGES[size], EXPRESSIONS[size], SIDE[size]
    first = random.randint(0, WORDS - 1, expressions)
    return {
        "image": random.uniform(-120, 150, (images, 3, side, side)),
        "tokens": random.randint(4, 900, (WORDS, expressions)),
        "continuation": np.arange(WORDS)[:, None] > first,
        "label": random.randint(0, 2, (expressions, 1, side, side)),
        "image_index": np.arange(expressions) * images // expressions,
    }


def fill(net, random):
    """Give every parameter of ``net`` random values of a trained net's magnitude."""
    for blobs in net.params.values():
        for blob in blobs:
            inputs_of_one = max(1, blob.data[0].size) if blob.data.ndim > 1 else 1
            blob.data[...] = random.normal(0, (2 / inputs_of_one) ** 0.5, blob.data.shape) * \
                (blob.data.ndim > 1)


def timed(function):
    """Seconds that a call of ``function`` takes, and those of the processor (two floats)."""
    began = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def least(times):
    """The least of several :func:`timed` in words."""
    return "{:.3f} s, {:.3f} s of the processor".format(*np.min(times, axis=0))


def forward(caffe, size, random):
    """All blobs of the deploy net ({name: array})."""
    net = caffe.Net(f"{FOLDER[size]}/deploy_highres.prototxt", caffe.TEST)
    fill(net, random)
    given = inputs(size, random)
    for name in net.inputs:
        if name in given:
            net.blobs[name].reshape(*given[name].shape)
            net.blobs[name].data[...] = given[name]
    times = [timed(net.forward) for _ in range(4)][1:]
    print(f"{size}: a forward pass of the deploy net takes {least(times)}")
    return {f"{size} forward {name}": blob.data.copy() for name, blob in net.blobs.items()}


def train(caffe, size, random, iterations):
    """Losses and weights after ``iterations`` of training on one batch ({name: array})."""
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    text = Path(f"{FOLDER[size]}/train_highres.prototxt").read_text()
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    given = inputs(size, random)
    for layer in [layer for layer in net.layer if layer.name == "data"]:
        net.layer.remove(layer)
    for name, array in given.items():
        if any(name in layer.bottom for layer in net.layer):
            data = caffe_pb2.LayerParameter(name=name, type="Input", top=[name])
            data.input_param.shape.add(dim=array.shape)
            net.layer.insert(0, data)
    solver_text = re.sub(r'(?m)^(net|weights|test_\w+|snapshot\w*|solver_mode|iter_size): .*$', "",
                         Path(f"{FOLDER[size]}/solver_highres.prototxt").read_text())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.prototxt").write_text(str(net))
        (Path(folder) / "solver.prototxt").write_text(
            f'{solver_text}\nnet: "{folder}/net.prototxt"\nsnapshot_after_train: false\n')
        solver = caffe.get_solver(f"{folder}/solver.prototxt")
    fill(solver.net, random)
    for name, array in given.items():
        if name in solver.net.blobs:
            solver.net.blobs[name].data[...] = array
    losses, times = [], []
    for _ in range(iterations):
        times.append(timed(lambda: solver.step(1)))
        losses.append(float(solver.net.blobs["loss"].data.reshape(())))
    print(f"{size}: an iteration of training takes {least(times)}")
    found = {f"{size} training {name} {index}": blob.data.copy()
             for name, blobs in solver.net.params.items() for index, blob in enumerate(blobs)}
    return {f"{size} training losses": np.array(losses), **found}


def record(path, sizes, iterations):
    """Write what this build computes to ``path``."""
    import caffe

    caffe.set_mode_cpu()
    found = {}
    for size in sizes:
        found.update(forward(caffe, size, np.random.RandomState(1)))
        found.update(train(caffe, size, np.random.RandomState(2), iterations))
    np.savez(path, **found)


def compare(one, other):
    """Print what differs between two recordings; returns whether nothing does."""
    with np.load(one) as one, np.load(other) as other:
        names = sorted(set(one.files) | set(other.files))
        different = [name for name in names if name not in one.files or name not in other.files
                     or not np.array_equal(one[name], other[name])]
        for name in different:
            if name in one.files and name in other.files:
                a, b = one[name], other[name]
                print(f"{name}: differs by {abs(a - b).max():.3g} of {abs(a).max():.3g}")
            else:
                print(f"{name}: in one alone")
    print(f"{len(names) - len(different)} of {len(names)} arrays are equal to the last bit")
    return not different


def main():
    """Record or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="*", help="two files to compare")
    parser.add_argument("--record", metavar="FILE", help="write what this build computes")
    parser.add_argument("--size", action="append", choices=SIDE, help="default: both")
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    if options.record:
        record(options.record, options.size or list(SIDE), options.iterations)
    elif len(options.recordings) == 2:
        raise SystemExit(not compare(*options.recordings))
    else:
        parser.error("name two recordings, or --record FILE")


if __name__ == "__main__":
    main()
