"""The Caffe solver of a training run, made from the text of a solver file."""

import os
import tempfile
from collections.abc import Collection
from pathlib import Path

import caffe
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.caffe.devices import last_words
from objseg.caffe.names import LSTM
from objseg.caffe.prototxt import prototxt
from objseg.caffe.starting_weights import set_forget_bias
from objseg.caffe.weights import WeightsError, check_finite, check_fits
from objseg.errors import UserError
from objseg.files import write_text

LARGEST_BLOB = 2**31 - 1
"""Numbers that a blob may hold: Caffe counts them in 32 bits."""


def check_buildable(net):
    """Raise UserError where Caffe would abort the process while it builds ``net``.

    ``net`` is a NetParameter. A child process tries; it takes about a second at the paper's size.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file, \
            tempfile.TemporaryFile("w+") as errors:
        file.write(prototxt(net))
        file.flush()
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 2)
            try:
                caffe.set_mode_cpu()
                caffe.Net(file.name, caffe.TRAIN)
            finally:
                os._exit(0)  # an exception will come again in this process, where it is shown
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return
        errors.seek(0)
        said = last_words(errors.read())
    if "INT_MAX" not in said:
        raise UserError(
            f"Caffe cannot build the net: {said} (signal {os.WTERMSIG(status)}; 9 usually means "
            "that memory ran out: give a smaller --batch and a larger --iter-size)"
        )
    rows = max(layer.embed_param.input_dim * layer.embed_param.num_output for layer in net.layer)
    remedy = "give a smaller --vocabulary-size" if rows > LARGEST_BLOB else \
        "give a smaller --batch, and a larger --iter-size for steps over as many expressions"
    raise UserError(
        f"a blob of the net would hold more than {LARGEST_BLOB:,} numbers, the most that Caffe "
        f"can count; {remedy}"
    )


def make_solver(
    solver: str, net, fresh: Collection[str], prefix: str, gpu: int | None = None,
    weights: bool = True,
):
    """Build the Caffe solver of the text ``solver`` on the device that is in use, ``gpu`` or a CPU.

    ``net`` is the NetParameter of the net that the text names; its batch may be another. The text
    stays the single source of the values. Overridden are only the mode and Caffe's own test phase
    and snapshots, which :func:`objseg.training.loop.train` replaces; ``prefix`` is that of
    :class:`objseg.training.snapshots.Snapshots`. The starting weights are checked before Caffe
    reads them: only the layers ``fresh`` may be missing and start from their fillers. ``weights``
    False leaves them out, for a snapshot that will be restored.

    Returns (solver, its SolverParameter, with the net as net_param). Raises WeightsError when the
    starting weights do not fit.
    """
    parameters = text_format.Parse(solver, caffe_pb2.SolverParameter())
    parameters.ClearField("net")
    parameters.net_param.CopyFrom(net)
    used = caffe_pb2.SolverParameter()
    used.CopyFrom(parameters)
    used.solver_mode = used.CPU if gpu is None else used.GPU
    for field in ("weights", "test_iter", "test_interval", "snapshot", "display"):
        used.ClearField(field)
    used.snapshot_prefix = prefix
    if gpu is not None:
        used.device_id = gpu
    run_file = Path(f"{prefix}_run.prototxt")
    write_text(run_file, prototxt(used))
    solver = caffe.get_solver(str(run_file))
    # A fresh LSTM, too, starts with its forget bias; starting weights bring theirs.
    if LSTM in solver.net.params:
        set_forget_bias(solver.net.params[LSTM][1].data)
    for path in parameters.weights if weights else ():
        missing = set(check_fits(solver.net, path)) - set(fresh)
        if missing:
            raise WeightsError(
                f"{path}: no weights for the layers {', '.join(sorted(missing))}; the model cannot "
                "start from it"
            )
        solver.net.copy_from(path)
        check_finite(solver.net.params, path)
    return solver, parameters
