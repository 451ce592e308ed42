"""Training and evaluating in several processes of mpirun against the same in one."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from models.sizes import SIZES
from objseg.caffe.weights import read_caffemodel
from objseg.files import REPOSITORY
from objseg.training.snapshots import Snapshots

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("mpirun"), reason="Open MPI is not installed"),
]

TRAIN = ("tools/train.py", "--model", "lowres", "--size", "slim", "--batch", 12,
         "--expressions-per-image", 2, "--workers", 1, "--validation-images", 3, "--validate", 4)


def mpirun(count, *words, wait=True, **settings):
    """Start ``count`` processes of this file, which runs a tool; returns a Popen, or its output."""
    process = subprocess.Popen(
        ["mpirun", "-n", str(count), "--oversubscribe", sys.executable, __file__, *map(str, words)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMPI_MCA_odls_base_sigkill_timeout": "8",
             "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'python_layers'}", **settings},
    )
    if not wait:
        return process
    printed, _ = process.communicate(timeout=200)
    return process.returncode, printed


def weights(folder, iteration):
    """{layer: [arrays]} of a snapshot of stage 1."""
    return read_caffemodel(folder / f"lowres_iter_{iteration}.caffemodel")


def greatest_difference(one, other):
    """Of the weights of two snapshots, relative to the greatest weight of the blob."""
    return max(
        np.abs(a - b).max() / np.abs(b).max()
        for name in other for a, b in zip(one[name], other[name])
    )


@pytest.fixture(scope="module")
def alone(scenes, tmp_path_factory):
    """Eight iterations of one process with momentum and weight decay; a folder."""
    out = tmp_path_factory.mktemp("mpi") / "alone"
    words = *TRAIN, "--data", scenes, "--out", out, "--iterations", 8, "--keep", 9
    code, printed = mpirun(1, *words)
    assert code == 0, printed
    return out


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_take_the_steps_of_one(scenes, alone, tmp_path, count):
    code, printed = mpirun(
        count, *TRAIN, "--data", scenes, "--out", tmp_path, "--iterations", 8, "--mpi"
    )
    assert code == 0, printed
    one, many, start = weights(alone, 8), weights(tmp_path, 8), weights(alone, 1)
    assert greatest_difference(many, one) < 1e-5 < 1e-2 < greatest_difference(start, one)
    assert validated(tmp_path) == pytest.approx(validated(alone), abs=1e-3)


def test_a_batch_that_ranks_cannot_share_is_refused_before_any_work(scenes, tmp_path):
    out = tmp_path / "out"
    code, printed = mpirun(4, *TRAIN, "--data", scenes, "--out", out, "--mpi")
    assert code != 0 and "4 ranks cannot share a batch of 12 evenly" in printed
    assert "a multiple of 8" in printed and not out.exists()


def test_ranks_that_drift_apart_are_stopped(scenes, tmp_path):
    words = *TRAIN, "--data", scenes, "--out", tmp_path, "--iterations", 8
    code, printed = mpirun(2, *words, "--mpi", OBJSEG_TEST_DRIFT="1")
    assert code != 0 and "the weights of the ranks differ" in printed
    assert not Snapshots(tmp_path, "lowres").all()


def test_the_statistics_of_batch_normalisation_are_those_of_the_first_rank(tmp_path):
    net, solver, script = (tmp_path / name for name in ("net", "solver", "script.py"))
    net.write_text(NORMALISING)
    solver.write_text(f'net: "{net}" base_lr: 0.1 lr_policy: "fixed" solver_mode: CPU')
    script.write_text(NORMALISE)
    code, printed = mpirun(2, script, solver)
    assert code == 0, printed
    # not what mpirun prints, where lines of two ranks may mix
    rows = [json.loads((tmp_path / f"solver.{rank}").read_text()) for rank in range(2)]
    (before, learnt, after), (before_1, learnt_1, after_1) = rows
    assert learnt == learnt_1 and before != before_1
    assert after == after_1 == before


NORMALISING = """
layer { name: "in" type: "Input" top: "x" top: "y"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 } } }
layer { name: "norm" type: "BatchNorm" bottom: "x" top: "n" }
layer { name: "linear" type: "InnerProduct" bottom: "n" top: "s"
        inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "s" bottom: "y" top: "loss" }
"""

NORMALISE = """
import json
import sys
import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from objseg.parallel.mpi import Ranks

ranks = Ranks()
parameters = text_format.Parse(open(sys.argv[1]).read(), caffe_pb2.SolverParameter())
text_format.Parse(open(parameters.net).read(), parameters.net_param)
solver = caffe.get_solver(sys.argv[1])
ranks.average_gradients(solver, (), 1, lambda: None)
random = np.random.RandomState(ranks.rank)
for _ in range(3):
    for name in ("x", "y"):
        solver.net.blobs[name].data[...] = random.randn(*solver.net.blobs[name].shape)
    solver.step(1)
mean = solver.net.params["norm"][0].data
before = mean.sum()
ranks.check_alike()
found = before, solver.net.params["linear"][0].data.sum(), mean.sum()
with open(f"{sys.argv[1]}.{ranks.rank}", "w") as file:
    json.dump(list(map(float, found)), file)
"""


@pytest.mark.parametrize("error, printed_as", [
    ("ValueError", "Traceback"), ("UserError", "error: rank 1: what was wrong"),
])
def test_a_rank_tells_a_fault_of_the_program_from_the_user_s(tmp_path, error, printed_as):
    script = tmp_path / "script.py"
    script.write_text(FAIL.replace("ERROR", error))
    code, printed = mpirun(2, script)
    assert code == 1 and printed_as in printed
    assert ("Traceback" in printed) == (printed_as == "Traceback")


FAIL = """
from objseg.errors import UserError
from objseg.parallel.mpi import Ranks

ranks = Ranks()
with ranks.together():
    if ranks.rank == 1:
        raise ERROR("what was wrong")
    ranks.wait()
"""


def test_a_lost_rank_ends_the_job_with_a_snapshot_to_resume(scenes, tmp_path):
    words = *TRAIN, "--data", scenes, "--out", tmp_path, "--iterations", 400, "--keep", 3
    job = mpirun(2, *words, "--mpi", wait=False)
    wait_for(lambda: len(read_log(tmp_path)) > 5)
    (rank,) = [pid for pid in children(job.pid) if b"OMPI_COMM_WORLD_RANK=1\0" in environment(pid)]
    os.kill(rank, signal.SIGKILL)
    printed, _ = job.communicate(timeout=100)
    assert job.returncode != 0
    assert "no answer from another rank" in printed
    snapshot, skipped = Snapshots(tmp_path, "lowres").newest_whole()
    assert not skipped and snapshot.iteration == len(read_log(tmp_path)) > 5
    assert f"the newest snapshot is {snapshot.name}" in printed

    # another number of ranks goes on
    resumed = mpirun(3, *words, "--mpi", "--resume", wait=False)
    wait_for(lambda: len(read_log(tmp_path)) > snapshot.iteration + 1)
    resumed.send_signal(signal.SIGTERM)
    printed, _ = resumed.communicate(timeout=100)
    assert f"resuming from {snapshot.state}" in printed


def validated(folder):
    """The validation IoUs of the log."""
    return [float(line.split(",")[-1]) for line in read_log(folder) if line.split(",")[-1]]


def read_log(folder):
    """Lines of the log, without the heading."""
    path = folder / "lowres_log.csv"
    return path.read_text().splitlines()[1:] if path.is_file() else []


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def wait_for(condition, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("count", [2, 7])  # and 7 ranks for 4 images
def test_evaluation_finds_the_same_on_any_number_of_ranks(scenes, alone, tmp_path, count):
    words = ("tools/eval_referit.py", "--size", "slim", "--data", scenes, "--method", "whole-image",
             "--method", "lowres", "--weights", alone / "lowres_iter_8.caffemodel")
    one, many = tmp_path / "one", tmp_path / "many"
    for out, ranks, more in ((one, 1, ("--workers", 1)), (many, count, ("--mpi",))):
        code, printed = mpirun(ranks, *words, *more, "--out", out)
        assert code == 0, printed
    assert (one / "samples.csv").read_bytes() == (many / "samples.csv").read_bytes()


def run_tool(path, *words):
    """Run a tool in a process of :func:`mpirun`; SGD takes the place of stage 1's Adam."""
    recipes = SIZES["slim"].recipes
    recipes["lowres"] = replace(
        recipes["lowres"], solver="SGD", rate=0.05, momentum=0.9, decay=0.0005
    )
    if "OBJSEG_TEST_DRIFT" in os.environ:
        drift()
    sys.path.insert(0, str(REPOSITORY / "tools"))
    sys.argv = [path, *words]
    runpy.run_path(path, run_name="__main__")


def drift():
    """Let rank 1 learn from a little more than the average."""
    from objseg.parallel.mpi import GradientAverage

    receive = GradientAverage.receive

    def receive_more(average):
        receive(average)
        average.learnt[0].diff[...] *= 1 + 0.1 * average.communicator.Get_rank()

    GradientAverage.receive = receive_more


if __name__ == "__main__":
    run_tool(*sys.argv[1:])
