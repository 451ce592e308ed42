"""Read the caffe command's own command line, for the Python layers that it runs."""

import logging
import re
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from objseg.errors import UserError

logger = logging.getLogger(__name__)


def command_line():
    """Return the words of this process's command line; in a C++ program sys.argv is empty."""
    return Path("/proc/self/cmdline").read_text(errors="surrogateescape").split("\0")[:-1]


def resumed_batch(words=None):
    """Number of the batch that `caffe train -solver FILE -snapshot FILE` goes on with.

    A layer is not told that its solver was restored. ``words`` are the command line, by default
    this process's; without a snapshot, and in any other command, the answer is 0. Raises UserError
    when the snapshot's name does not tell its iteration.
    """
    words = command_line() if words is None else words
    if Path(words[0]).name.startswith("python") and words[1:]:  # which runs our wheel's command
        words = words[1:]
    snapshot, solver = _flag(words, "snapshot"), _flag(words, "solver")
    if Path(words[0]).name not in ("caffe", "caffe.bin"):  # the latter is BVLC's own build
        if snapshot:
            logger.warning(
                "warning: %s: not known as the caffe command, so -snapshot %s does not move the "
                "data, which start at their first batch", words[0], snapshot,
            )
        return 0
    if not snapshot:
        return 0
    found = re.search(r"_iter_(\d+)\.solverstate(\.h5)?$", snapshot)
    if not found:
        raise UserError(
            f"-snapshot {snapshot}: the name must end in _iter_N.solverstate, as Caffe gave it, "
            "since N is the place in the data; rename the file back"
        )
    parameters = text_format.Parse(Path(solver).read_text(), caffe_pb2.SolverParameter())
    return int(found.group(1)) * parameters.iter_size


def _flag(words, name):
    """The value of a flag in gflags' four spellings, the last one given; None without it."""
    value = None
    for word, following in zip(words, words[1:] + [""]):
        match = re.fullmatch(rf"--?{name}(=(.*))?", word)
        if match:
            value = match.group(2) if match.group(1) else following
    return value
