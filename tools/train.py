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
import contextlib
import sys
import tempfile
from pathlib import Path

from common.arguments import add_device

from models.prototxt import generate
from models.registry import MODELS
from models.settings import add_switches, chosen_size, from_switches
from models.solvers import solver_text
from objseg.errors import UserError
from objseg.caffe.names import data_layer
from objseg.caffe.prototxt import prototxt
from objseg.training.cost import frozen_layers, training_memory
from objseg.data.dataset import Dataset
from objseg.data.expressions import Vocabulary
from objseg.files import REPOSITORY, sha256, write_text
from objseg.data.frequent_words import FrequentWords
from objseg.parallel.ranks import open_ranks
from objseg.training.log import TrainingLog


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--data", help="prepared data set (default: the size's)")
    parser.add_argument("--out", help="folder of snapshots, vocabulary, nets, log and curve "
                        "(default: where the size's solvers put snapshots)")
    add_device(parser, "train")
    parser.add_argument("--weights", metavar="FILE",
                        help="where the model starts (default: what its recipe in models/sizes.py "
                        "says; for highres the newest lowres snapshot in --out); none for a "
                        "random start")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--resume", action="store_true", help="go on from the newest snapshot")
    before.add_argument("--overwrite", action="store_true",
                        help="delete the model's snapshots of an earlier run first")
    parser.add_argument("--if-changed", choices=("refuse", "restart"), default="refuse",
                        help="with --resume, where the snapshots are of a run with other settings "
                        "or data: refuse (the default), or move them to OUT/earlier_N and start "
                        "afresh")
    parser.add_argument("--keep", type=int, default=3, metavar="N",
                        help="snapshots to keep: the newest N, and the best by validation")
    parser.add_argument("--mpi", action="store_true",
                        help="be one of the processes of mpirun, which share the batch")
    parser.add_argument("--validate", type=int, metavar="N",
                        help="iterations between validations (default: a tenth of the run)")
    parser.add_argument("--validation-images", type=int, default=40, metavar="N",
                        help="images of the val split to validate the two stages on; 0 for none")
    add_switches(parser)
    options = parser.parse_args()
    if options.if_changed == "restart" and not options.resume:
        parser.error("--if-changed restart means something with --resume only")
    if options.validate is not None and options.validate < 1:
        parser.error(f"--validate is {options.validate}, must be at least 1")
    if options.keep < 1:
        parser.error(f"--keep is {options.keep}, must be at least 1")
    if options.validation_images < 0:
        parser.error(f"--validation-images is {options.validation_images}, must be at least 0")
    return options


def starting_weights(options, recipe, out):
    """Return the path (str) of the file that the model starts from, or None for a random start."""
    from objseg.training.snapshots import Snapshots
    from objseg.training.loop import TrainingError

    after = MODELS[options.model].after
    if options.weights == "none":
        return None
    if options.weights:
        path, make = Path(options.weights), "name another file"
    elif after:
        newest = Snapshots(out, after).newest_weights()
        if not newest:
            raise TrainingError(
                f"no {after}_iter_*.caffemodel in {out}: train --model {after} first, or name a "
                "file with --weights"
            )
        return str(newest)
    elif recipe.start:
        path, make = REPOSITORY / recipe.start, f"make it with: python {recipe.start_command}"
    else:
        return None
    if not path.is_file():
        raise TrainingError(
            f"{path}: no such file, but the model {options.model} starts from it; {make}, or train "
            "from a random start with --weights none"
        )
    return str(path.resolve())


def snapshot_to_resume(options, snapshots, say):
    """Return the Snapshot to go on from, or None; keep runs from mixing."""
    from objseg.training.loop import TrainingError
    from objseg.training.snapshots import OtherRunError

    found, out = snapshots.all(), snapshots.folder
    if options.resume:
        if found and options.if_changed == "restart":
            try:
                return snapshots.to_resume(say)
            except OtherRunError as error:
                say(f"starting afresh: {error.found}")
                return None
        if found:
            return snapshots.to_resume(say)
        say(f"no snapshot in {out} yet: starting afresh")
    elif found and not options.overwrite:
        raise TrainingError(
            f"{out} holds snapshots of an earlier run ({found[-1].name} is the newest): go on "
            "with --resume, delete them with --overwrite, or choose another folder with --out"
        )
    return None


def chosen_words(options, size, start, dataset, out, say, snapshot=None):
    """Return the words of the model: its FrequentWords or the data set's Vocabulary.

    Raises UserError where the model before, beside the weights ``start``, or the run that took the
    ``snapshot``, was trained with another vocabulary.
    """
    path, words = out / f"{options.model}_vocabulary.txt", dataset.vocabulary.words
    if options.model == "per-word":
        frequent = FrequentWords.of(dataset, size.frequent_words)
        test = [sample.expression for sample in dataset.samples("test")]
        if test:
            share = 100 * frequent.share_without(test)
            say(f"{len(frequent.words)} frequent words; {share:.2f} % of the test expressions hold "
                "none of them (the paper's 500 on ReferIt: 2.83 %)")
        return frequent
    after = MODELS[options.model].after
    earlier = [Path(start).with_name(f"{after}_vocabulary.txt")] if after and start else []
    earlier += [path] if snapshot else []
    for trained in filter(Path.is_file, earlier):
        if Vocabulary.load(trained).words != words:
            raise UserError(
                f"{trained}: the weights here were trained with another vocabulary than that of "
                f"{dataset.directory}; train them on this data set, or prepare it with "
                f"--vocabulary {trained}"
            )
    return dataset.vocabulary


def warn_of_memory(net, parameters, settings, validation):
    """Refuse a batch that the GPU has no room for; warn where that is not sure.

    Every net has to be made by now, see :func:`objseg.caffe.devices.check_room`.
    """
    from objseg.caffe.devices import check_room

    recipe = settings.recipe
    needed = training_memory(
        net, recipe.batch, parameters.type, frozen_layers(parameters.net_param),
        validation and validation.segmenter.net,
    )
    warning = check_room(needed, recipe.batch, settings.iter_size, recipe.expressions_per_image)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def begin(options, size, settings, words, out, snapshots, afresh):
    """Change the folder ``out`` for this run: no other function does before training.

    Deletes the snapshots of an earlier run if the user said --overwrite, moves them aside if
    --if-changed restart, and writes the vocabulary, without which an embedding means nothing, the
    nets and the solver.
    """
    if options.overwrite:
        snapshots.clear()
    elif afresh:
        moved = snapshots.set_aside()
        if moved:
            print(f"the files of the earlier run are now in {moved}", file=sys.stderr)
    vocabulary = out / f"{options.model}_vocabulary.txt"
    words.save(vocabulary)
    snapshots.vocabulary = sha256(vocabulary)
    generate(size, settings, out / "prototxt")


def open_validation(options, dataset, deploy, net, gpu, ranks, say):
    """The Validation on images of the val split; None for a model or data that has none."""
    from objseg.training.loop import Validation

    if not MODELS[options.model].segments_pixels or not options.validation_images:
        return None
    images = [image for image in dataset.images("val") if image.regions]
    if not images:
        say(f"{dataset.directory}: the val split is empty, so there is no validation")
        return None
    return Validation(images[:options.validation_images], dataset, deploy, net, gpu, ranks)


def run(options, ranks):
    """Generate the nets for the settings, then run the solver; returns the exit status."""
    size = chosen_size(options)
    # Absolute, so that the nets mean the same in every working directory.
    data = Path(options.data or REPOSITORY / size.data).resolve()
    out = Path(options.out or REPOSITORY / size.snapshots).resolve()
    dataset = Dataset(data)

    from objseg.caffe.devices import use_device
    from objseg.training.fingerprint import fingerprint
    from objseg.training.snapshots import Snapshots, restore
    from objseg.training.loop import make_solver, train

    def say(message):
        if ranks.rank == 0:
            print(message, file=sys.stderr, flush=True)

    model = MODELS[options.model]
    settings = from_switches(
        options, size, options.model, data=str(data), prototxt=str(out / "prototxt"),
        snapshots=str(out), start=starting_weights(options, size.recipes[options.model], out),
        features=str(data / "features" / size.name), proposals=str(data / "proposals"),
        mode="CPU" if options.gpu is None else "GPU",
    )
    share = settings.divided(ranks.size)
    solver_values = solver_text(size, settings, model.title, model.start_reason)
    fingerprinted = fingerprint(
        dataset, size.name, model.train_net(size, settings), solver_values
    )
    snapshots = Snapshots(out, options.model, fingerprinted, options.keep)
    gpu = None if options.gpu is None else options.gpu + ranks.local_rank
    use_device(gpu)  # before anything in out changes
    ranks.wait()
    if ranks.rank == 0:
        snapshots.claim()
        snapshot = snapshot_to_resume(options, snapshots, say)
        words = chosen_words(options, size, settings.start, dataset, out, say, snapshot)
        if gpu is None and not options.cpu and size.mode == "GPU":
            say("no --gpu N given: training on the CPU")
        finished = snapshot is not None and snapshot.iteration >= settings.recipe.iterations
    ranks.wait()
    if ranks.first(finished if ranks.rank == 0 else None):
        say(f"this run has finished: {snapshots.newest_weights()}")
        return 0
    if ranks.rank > 0:
        snapshot = snapshot_to_resume(options, snapshots, say)
    solver, parameters = make_solver(
        solver_values, model.train_net(size, share), model.fresh, snapshots.prefix, gpu,
        weights=not snapshot,
    )
    if snapshot:
        restore(solver, snapshot)
        say(f"resuming from {snapshot.state}")
    ranks.share_weights(solver.net)
    data_layer(solver.net).seek(solver.iter * settings.iter_size, ranks.rank, ranks.size)
    with tempfile.TemporaryDirectory() as folder:
        deploy = Path(folder) / f"deploy_{options.model}.prototxt"
        write_text(deploy, prototxt(model.deploy_net(size, settings)))
        validation = open_validation(options, dataset, deploy, solver.net, gpu, ranks, say)
    if gpu is not None:
        warn_of_memory(solver.net, parameters, share, validation)
    log = None
    if ranks.rank == 0:
        # not before all the checks above
        begin(options, size, settings, words, out, snapshots, not snapshot)
        log = TrainingLog(out / f"{options.model}_log.csv", solver.iter)
    ranks.wait()
    try:
        stopped = train(solver, parameters, options.model, log, snapshots, validation,
                        options.validate or max(1, parameters.max_iter // 10), ranks)
    except BaseException:
        with contextlib.suppress(Exception):  # the error of the training is what counts
            draw(log)
        raise
    draw(log)
    if ranks.rank == 0:
        conclude(ranks, snapshots, solver.iter)
    if stopped:
        say(f"stopped at iteration {solver.iter}; go on with --resume")
        return 128 + stopped
    return 0


def draw(log):
    """Draw the curve of a TrainingLog and print its summary; nothing on the other ranks."""
    with contextlib.suppress(OSError):  # a full disk takes nothing from the weights
        if log and log.draw():
            print(log.summary())


def conclude(ranks, snapshots, iteration):
    """Print what the whole run had to say."""
    if ranks.size > 1:
        print(f"{ranks.size} ranks; each sent at least {ranks.bytes / 1e6:.2f} MB an iteration")
    best, iou = snapshots.best(iteration)
    if best:
        print(f"best val overall IoU {iou:.4f}: {best.weights}")


def main():
    """Train, alone or together with other processes."""
    options = parse()
    ranks = open_ranks(options.mpi)
    with ranks.together():
        return run(options, ranks)


if __name__ == "__main__":
    environment.run(main)
