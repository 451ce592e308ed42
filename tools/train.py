"""Train a model: a stage of the paper's, lowres or highres, or a baseline.

    python tools/train.py --model lowres
    python tools/train.py --model highres
    python tools/train.py --model grounder --size slim --data data/demo --out out/mine --cpu

Ctrl-C writes a snapshot and stops. --resume goes on from the newest whole one, also after a crash,
and ends with the same weights as a run that was not interrupted (bit for bit on a CPU with
OPENBLAS_NUM_THREADS=1).

    mpirun -n 4 python tools/train.py --model lowres --mpi --gpu 0

trains in four processes that share the batch, with a GPU each from number 0 on.
"""

from common import environment

environment.enter()

import argparse
import logging
import math
import tempfile
from pathlib import Path

from common.arguments import Parser, add_data, add_device, not_negative, positive
from common.next_commands import next_commands
from common.switches import add_switches
from common.training_job import Job

from models.prototxt import generate
from models.registry import MODELS
from objseg.caffe.devices import use_device
from objseg.caffe.names import data_layer
from objseg.caffe.prototxt import prototxt
from objseg.errors import UserError
from objseg.files import sha256, write_text
from objseg.methods.ours import CaffeSegmenter
from objseg.parallel.ranks import open_ranks
from objseg.training.log import TrainingLog
from objseg.training.loop import train
from objseg.training.snapshot import Snapshot, restore
from objseg.training.snapshots import OtherRunError, Snapshots
from objseg.training.solver import check_buildable, make_solver
from objseg.training.validation import Validation

logger = logging.getLogger(__name__)


def parser() -> Parser:
    """Make the parser of the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--model", choices=MODELS, required=True, help="the model to train")
    add_data(parser)
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of snapshots, vocabulary, nets, log and curve (default: "
                        "models for --size paper, models/slim for slim)")
    add_device(parser, "train")
    parser.add_argument("--weights", metavar="FILE",
                        help="where the model starts; none for a random start (default: the "
                        "pretrained file of its recipe in models/sizes.py; for highres the newest "
                        "lowres snapshot in --out)")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--resume", action="store_true", help="go on from the newest snapshot")
    before.add_argument("--overwrite", action="store_true",
                        help="delete the model's snapshots of an earlier run first")
    parser.add_argument("--if-changed", choices=("refuse", "restart"), default="refuse",
                        help="with --resume, where the snapshots are of a run with other settings "
                        "or data: refuse, or move them to OUT/earlier_N and start afresh")
    parser.add_argument("--keep", type=positive, default=3, metavar="N",
                        help="snapshots to keep: the newest N, and the best by validation")
    parser.add_argument("--mpi", action="store_true",
                        help="be one of the processes of mpirun, which share the batch")
    parser.add_argument("--validate", type=positive, metavar="N",
                        help="iterations between validations (default: a tenth of the run)")
    parser.add_argument("--validation-images", type=not_negative, default=40, metavar="N",
                        help="at most so many images of the val split, evenly spread, validate the "
                        "two stages; 0 for none")
    add_switches(parser)
    return parser


def snapshot_to_resume(options, snapshots: Snapshots) -> Snapshot | None:
    """Return the Snapshot to go on from, None for a fresh start. Raises UserError if unasked."""
    found, out = snapshots.all(), snapshots.folder
    if found and options.resume:
        try:
            return snapshots.to_resume()
        except OtherRunError as error:
            if options.if_changed == "refuse":
                raise
            logger.info("starting afresh: %s", error.found)
    elif options.resume:
        logger.info("no snapshot in %s yet: starting afresh", out)
    elif found and not options.overwrite:
        raise UserError(
            f"{out} holds snapshots of an earlier run ({found[-1].name} is the newest): go on "
            "with --resume, delete them with --overwrite, or choose another folder with --out"
        )
    return None


def build(job: Job, snapshots: Snapshots, snapshot: Snapshot | None, ranks):
    """Build the solver, at the point where the ``snapshot`` was taken, and what validates its net.

    Returns (solver, its SolverParameter, Validation or None). Raises UserError where weights or
    device do not suffice.
    """
    options, model, share = job.options, job.model, job.share
    net = model.train_net(job.size, share)
    check_buildable(net)
    if options.gpu is None and not options.cpu and job.size.mode == "GPU":
        logger.info("no --gpu N given: training on the CPU")
    gpu = None if options.gpu is None else options.gpu + ranks.local_rank
    use_device(gpu)
    fresh = model.new_layers | job.size.start_lacks
    solver, parameters = make_solver(
        job.solver(), net, fresh, snapshots.prefix, gpu, weights=not snapshot
    )
    if snapshot:
        restore(solver, snapshot)
        logger.info("resuming from %s", snapshot.state)
    ranks.share_weights(solver.net)
    data_layer(solver.net).seek(solver.iter * share.iter_size, ranks.rank, ranks.size)
    return solver, parameters, open_validation(job, solver.net, gpu, ranks)


def open_validation(job: Job, net, gpu: int | None, ranks) -> Validation | None:
    """Open the deploy net on the weights of ``net``; None for a model or data that has none."""
    options, settings = job.options, job.settings
    if not job.model.segments_pixels or not options.validation_images:
        return None
    images = [image for image in job.dataset.images("val") if image.regions]
    if not images:
        logger.info("%s: the val split is empty, so there is no validation", job.dataset.directory)
        return None
    with tempfile.TemporaryDirectory() as folder:
        deploy = Path(folder) / f"deploy_{options.model}.prototxt"
        write_text(deploy, prototxt(job.model.deploy_net(job.size, settings)))
        segmenter = CaffeSegmenter(deploy, None, job.dataset.vocabulary, gpu, job.size.input)
    segmenter.net.share_with(net)
    every = options.validate or max(1, settings.recipe.iterations // 10)
    # spread over the split: joined sets follow one another in it
    chosen = images[::math.ceil(len(images) / options.validation_images)]
    return Validation(chosen, job.dataset, segmenter, every, ranks, job.convnet)


def begin(job: Job, words, snapshots: Snapshots, snapshot: Snapshot | None):
    """Change the output folder for this run: nothing else does before training.

    Deletes the snapshots of an earlier run if the user said --overwrite, moves them away if
    --if-changed restart, and writes the vocabulary, the nets and the solver.
    """
    if job.options.overwrite:
        snapshots.clear()
    elif snapshot is None:
        moved = snapshots.set_aside()
        if moved:
            logger.info("the files of the earlier run are now in %s", moved)
    words.save(job.vocabulary_file)
    about = job.dataset.about
    snapshots.origin = dict(
        vocabulary=sha256(job.vocabulary_file), convnet=job.convnet and job.convnet.source,
        images=about.images, expressions=about.expressions,
    )
    generate(job.size, job.settings, job.out / "prototxt")


def conclude(job: Job, snapshots: Snapshots, iteration: int):
    """Print the weights of a finished run, and what to type next."""
    best, iou = snapshots.best(iteration)
    if best:
        print(f"best val overall IoU {iou:.4f}: {best.weights}")
    weights = snapshots.newest_weights()
    print(f"trained weights: {weights}")
    for command in next_commands(job.options, job.dataset, weights):
        print(f"next: {command}")


def run(options: argparse.Namespace, ranks) -> int:
    """Train as the options say; returns the exit status.

    All checks come first. Until :func:`begin` nothing in the output folder changes but the lock.
    """
    job = Job.chosen(options, ranks.size)
    snapshots = Snapshots(job.out, options.model, job.fingerprint(), options.keep)
    snapshot = words = log = None
    if ranks.rank == 0:
        snapshots.claim()
        snapshot = snapshot_to_resume(options, snapshots)
        words = job.words(resumed=snapshot is not None)
    snapshot = ranks.first(snapshot)
    if snapshot and snapshot.iteration >= job.settings.recipe.iterations:
        logger.info("this run has finished")
        if ranks.rank == 0:
            conclude(job, snapshots, snapshot.iteration)
        return 0

    solver, parameters, validation = build(job, snapshots, snapshot, ranks)
    ranks.wait()  # every rank has passed its checks
    if ranks.rank == 0:
        begin(job, words, snapshots, snapshot)
        log = TrainingLog(job.out / f"{options.model}_log.csv", solver.iter)
    stopped = train(solver, parameters, options.model, log, snapshots, validation, ranks)
    if log:
        log.conclude()
    if stopped:
        logger.info("stopped at iteration %d; go on with --resume", solver.iter)
        return 128 + stopped
    if ranks.rank == 0:
        conclude(job, snapshots, solver.iter)
    return 0


def main() -> int:
    """Train, alone or together with other processes."""
    arguments = parser()
    options = arguments.parse_args()
    if options.if_changed == "restart" and not options.resume:
        arguments.error("--if-changed restart means something with --resume only")
    ranks = open_ranks(options.mpi)
    if ranks.rank > 0:
        logging.disable(logging.INFO)  # the first rank says it for all
    with ranks.together():
        return run(options, ranks)


if __name__ == "__main__":
    environment.run(main)
