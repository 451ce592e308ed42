"""Train a model: a stage of the paper's, lowres or highres, or a baseline.

    python tools/train.py --model lowres
    python tools/train.py --model highres
    python tools/train.py --model grounder --size slim --data data/demo --out out/mine --cpu

Ctrl-C writes a snapshot and stops. --resume goes on from the newest whole one, also after a crash,
and ends with the same weights as a run that was not interrupted (bit for bit on a CPU with
OPENBLAS_NUM_THREADS=1).
"""

import environment

environment.enter()

import argparse
import contextlib
import sys
from pathlib import Path

from switches import add_device

from models.generate import generate
from models.registry import MODELS
from models.settings import add_switches, chosen_size, from_switches
from models.solvers import solver_text
from objseg.cost import frozen_layers, training_memory
from objseg.dataset import Dataset
from objseg.expressions import Vocabulary
from objseg.files import REPOSITORY
from objseg.frequent_words import FrequentWords
from objseg.training_log import TrainingLog


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
    parser.add_argument("--keep", type=int, default=3, metavar="N",
                        help="snapshots to keep: the newest N, and the best by validation")
    parser.add_argument("--validate", type=int, metavar="N",
                        help="iterations between validations (default: a tenth of the run)")
    parser.add_argument("--validation-images", type=int, default=40, metavar="N",
                        help="images of the val split to validate the two stages on; 0 for none")
    add_switches(parser)
    options = parser.parse_args()
    if options.validate is not None and options.validate < 1:
        parser.error(f"--validate is {options.validate}, must be at least 1")
    if options.keep < 1:
        parser.error(f"--keep is {options.keep}, must be at least 1")
    if options.validation_images < 0:
        parser.error(f"--validation-images is {options.validation_images}, must be at least 0")
    return options


def starting_weights(options, recipe, out):
    """Return the path (str) of the file that the model starts from, or None for a random start."""
    from objseg.snapshots import Snapshots
    from objseg.training import TrainingError

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


def snapshot_to_resume(options, snapshots):
    """Return the Snapshot to go on from, or None; keep runs from mixing."""
    from objseg.training import TrainingError

    found, out = snapshots.all(), snapshots.folder
    if options.resume:
        if found:
            return snapshots.to_resume(lambda message: print(message, file=sys.stderr))
        print(f"no snapshot in {out} yet: starting afresh", file=sys.stderr)
    elif found and not options.overwrite:
        raise TrainingError(
            f"{out} holds snapshots of an earlier run ({found[-1].name} is the newest): go on "
            "with --resume, delete them with --overwrite, or choose another folder with --out"
        )
    return None


def keep_vocabulary(options, size, dataset, out):
    """Leave the vocabulary beside the weights, whose embedding means nothing without it."""
    path, words = out / f"{options.model}_vocabulary.txt", dataset.vocabulary.words
    if options.model == "per-word":
        FrequentWords.of(dataset, size.frequent_words).save(path)
        return
    earlier = [out / f"{MODELS[options.model].after}_vocabulary.txt"]
    earlier += [path] if options.resume else []
    for trained in filter(Path.is_file, earlier):
        if Vocabulary.load(trained).words != words:
            raise ValueError(
                f"{trained}: the weights here were trained with another vocabulary than that of "
                f"{dataset.directory}; train them on this data set, or prepare it with "
                f"--vocabulary {trained}"
            )
    dataset.vocabulary.save(path)


def warn_of_memory(net, parameters, net_parameters, settings):
    """Refuse a batch that the GPU has no room for; warn where that is not sure."""
    from objseg.devices import check_room

    recipe = settings.recipe
    needed = training_memory(
        net, recipe.batch, parameters.type, frozen_layers(net_parameters)
    )
    warning = check_room(needed, recipe.batch, settings.iter_size, recipe.expressions_per_image)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def main():
    """Generate the nets for the settings, then run the solver."""
    options = parse()
    size = chosen_size(options)
    # Absolute, so that the nets mean the same in every working directory.
    data = Path(options.data or REPOSITORY / size.data).resolve()
    out = Path(options.out or REPOSITORY / size.snapshots).resolve()
    dataset = Dataset(data)

    from objseg.fingerprint import fingerprint
    from objseg.snapshots import Snapshots, restore
    from objseg.training import Validation, make_solver, train

    model = MODELS[options.model]
    settings = from_switches(
        options, size, options.model, data=str(data), prototxt=str(out / "prototxt"),
        snapshots=str(out), start=starting_weights(options, size.recipes[options.model], out),
        features=str(data / "features" / size.name), proposals=str(data / "proposals"),
        mode="CPU" if options.gpu is None else "GPU",
    )
    net = model.train_net(size, settings)
    run = fingerprint(dataset, size.name, net,
                      solver_text(size, settings, model.title, model.start_reason))
    snapshots = Snapshots(out, options.model, run, options.keep)
    snapshot = snapshot_to_resume(options, snapshots)
    keep_vocabulary(options, size, dataset, out)
    generate(size, settings, out / "prototxt")
    if options.gpu is None and not options.cpu and size.mode == "GPU":
        print("no --gpu N given: training on the CPU", file=sys.stderr)
    solver, parameters = make_solver(
        out / "prototxt" / f"solver_{options.model}.prototxt", model.fresh, snapshots.prefix,
        options.gpu, weights=not snapshot,
    )
    if options.gpu is not None:
        warn_of_memory(solver.net, parameters, net, settings)
    if snapshot:
        restore(solver, snapshot)
        solver.net.layers[0].seek(solver.iter * settings.iter_size)
        print(f"resuming from {snapshot.state}", file=sys.stderr)
    validation = None
    if model.segments_pixels and options.validation_images:
        images = [image for image in dataset.images("val") if image.regions]
        if images:
            deploy = out / "prototxt" / f"deploy_{options.model}.prototxt"
            images = images[:options.validation_images]
            validation = Validation(images, dataset, deploy, solver.net, options.gpu)
        else:
            print(f"{data}: the val split is empty, so there is no validation", file=sys.stderr)
    if options.overwrite:  # not before all the checks above
        snapshots.clear()
    log = TrainingLog(out / f"{options.model}_log.csv", solver.iter)
    try:
        stopped = train(solver, parameters, options.model, log, snapshots, validation,
                        options.validate or max(1, parameters.max_iter // 10))
    finally:
        with contextlib.suppress(OSError):  # a full disk, of which another error tells
            if log.draw():
                print(log.summary())
    best, iou = snapshots.best(solver.iter)
    if best:
        print(f"best val overall IoU {iou:.4f}: {best.weights}")
    if stopped:
        print(f"stopped at iteration {solver.iter}; go on with --resume", file=sys.stderr)
        return 128 + stopped
    return 0


if __name__ == "__main__":
    environment.run(main)
