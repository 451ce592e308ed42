"""Training a model with a Caffe solver: progress, validation, snapshots, clean interruption."""

import re
import signal
import tempfile
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from objseg.devices import use_device
from objseg.files import Progress, write_text
from objseg.images import ImageError
from objseg.metrics import areas, summarize
from objseg.segmenter import Segmenter
from objseg.weights import WeightsError, check_fits, set_forget_bias

SMOOTHING = 20
"""Iterations that the displayed loss is averaged over."""


class TrainingError(ValueError):
    """Training that cannot go on; the message says what to do."""


def snapshots(folder, model, ending="solverstate"):
    """List a model's snapshots in ``folder`` as (iteration, path), the newest last."""
    found = []
    for path in Path(folder).glob(f"{model}_iter_*.{ending}"):
        match = re.fullmatch(rf"{model}_iter_(\d+)\.{ending}", path.name)
        if match:
            found.append((int(match.group(1)), path))
    return sorted(found)


def make_solver(solver_file, fresh, gpu=None, weights=True):
    """Build the Caffe solver of ``solver_file`` for the CPU (``gpu`` None) or a GPU.

    The file stays the single source of the values. Overridden are only the mode and Caffe's own
    test phase and snapshots, which :func:`train` replaces. Its starting weights are checked before
    Caffe reads them: only the layers ``fresh`` may be missing and start from their fillers.
    ``weights`` False leaves them out, for a snapshot that will be restored.
    Returns (solver, its SolverParameter).
    """
    use_device(gpu)
    parameters = text_format.Parse(Path(solver_file).read_text(), caffe_pb2.SolverParameter())
    used = caffe_pb2.SolverParameter()
    used.CopyFrom(parameters)
    used.solver_mode = used.CPU if gpu is None else used.GPU
    for field in ("weights", "test_iter", "test_interval", "snapshot", "display"):
        used.ClearField(field)
    if gpu is not None:
        used.device_id = gpu
    run_file = Path(solver_file).with_suffix(".run.prototxt")
    write_text(run_file, str(used))
    solver = caffe.get_solver(str(run_file))
    # A fresh LSTM, too, starts with its forget bias; starting weights bring theirs.
    if "lstm" in solver.net.params:
        set_forget_bias(solver.net.params["lstm"][1].data)
    for path in parameters.weights if weights else ():
        missing = set(check_fits(solver.net, path)) - fresh
        if missing:
            raise WeightsError(
                f"{path}: no weights for the layers {', '.join(sorted(missing))}; the model cannot "
                "start from it"
            )
        solver.net.copy_from(path)
    return solver, parameters


def restore(solver, path):
    """Load a snapshot's solver state and the weights that lie beside it.

    Caffe stores where the weights lay when the snapshot was taken; the folder may have moved since.
    Raises TrainingError or WeightsError when the snapshot is broken or belongs to another net.
    """
    state, weights = caffe_pb2.SolverState(), Path(path).with_suffix(".caffemodel")
    try:
        state.ParseFromString(Path(path).read_bytes())
    except DecodeError as error:
        raise TrainingError(
            f"{path}: a broken snapshot ({error}); delete it to resume from the one before"
        ) from error
    check_fits(solver.net, weights)
    state.learned_net = str(weights)
    with tempfile.NamedTemporaryFile(suffix=".solverstate") as moved:
        moved.write(state.SerializeToString())
        moved.flush()
        solver.restore(moved.name)


class Interruption:
    """Within the block the first SIGINT or SIGTERM only sets ``number``; a second one acts."""

    def __init__(self, say):
        self.say = say

    def __enter__(self):
        self.number = None
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind, value, trace):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.number = number
        self.__exit__(None, None, None)
        self.say("finishing the iteration, then a snapshot; once more to stop without one")


class Validation:
    """Overall IoU on some images of the val split, with the weights of the net in training."""

    def __init__(self, images, dataset, deploy, net, gpu=None):
        self.images, self.dataset = images, dataset
        self.segmenter = Segmenter(deploy, None, dataset.vocabulary, gpu)
        self.segmenter.net.share_with(net)

    def overall_iou(self, stopped=lambda: False):
        """Score every expression of the images; returns overall IoU in [0, 1].

        None when no image could be read, or ``stopped()`` came true before the end.
        """
        measured = []
        for image in self.images:
            if stopped():
                return None
            try:
                pixels, masks = self.dataset.pixels_and_masks(image.id, image.path)
            except ImageError:
                continue  # preparing and the data layer report it
            pairs = [(masks[r.id], e) for r in image.regions for e in r.expressions]
            scores = self.segmenter.scores(pixels, [expression for _, expression in pairs])
            measured += [areas(score > 0, mask) for (mask, _), score in zip(pairs, scores)]
        return summarize(*zip(*measured))["overall_iou"] if measured else None


def train(solver, parameters, name, log, validation=None, validate_every=0):
    """Run ``solver`` to its last iteration or to an interruption.

    ``name`` is shown, ``log`` a TrainingLog. Snapshots are taken every ``parameters.snapshot``
    iterations, at the end, and when SIGINT or SIGTERM arrives; then the iteration in progress is
    finished first. Raises TrainingError when the loss is not finite. Returns the number of the
    signal that stopped it, or None.
    """
    net, losses, recent = solver.net, [], []
    data_layer, last_layer = net.layers[0], len(net.layers) - 1

    def collect(layer):  # called after every layer; iter_size passes make one iteration
        if layer == last_layer:
            losses.append(float(net.blobs["loss"].data))

    net.after_forward(collect)
    end = parameters.max_iter
    with Progress(end, name, "it", initial=solver.iter) as progress, \
            Interruption(progress.write) as interruption:
        while solver.iter < end and interruption.number is None:
            losses.clear()
            began, waited, rate = time.perf_counter(), data_layer.seconds, solver.lr
            solver.step(1)
            loss = np.mean(losses)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at iteration {solver.iter}; earlier snapshots are intact. "
                    "Lower the learning rate, or start from other weights"
                )
            seconds = time.perf_counter() - began
            recent = (recent + [loss])[-SMOOTHING:]
            iou = None
            if validation and (solver.iter % validate_every == 0 or solver.iter == end):
                iou = validation.overall_iou(lambda: interruption.number is not None)
            if iou is not None:
                progress.write(f"{name} iteration {solver.iter}: val overall IoU {iou:.4f}")
            log.add(iteration=solver.iter, loss=loss, rate=rate, seconds=round(seconds, 4),
                    data_seconds=round(data_layer.seconds - waited, 4),
                    val_overall_iou="" if iou is None else iou)
            progress.advance(note=f"loss {np.mean(recent):.4f}, rate {rate:.2g}")
            if solver.iter % parameters.snapshot == 0 and solver.iter < end:
                solver.snapshot()
        solver.snapshot()
    return interruption.number
