"""Train a stage of the model.

    python tools/train.py --stage lowres
    python tools/train.py --stage highres
    python tools/train.py --stage lowres --size slim --data data/demo --out out/mine --cpu

Ctrl-C writes a snapshot and stops; --resume goes on from the newest one.
"""

import environment

environment.enter()

import argparse
import sys
from pathlib import Path

from models.generate import generate
from models.settings import STAGES, add_switches, from_switches
from models.sizes import SIZES
from objseg.dataset import Dataset
from objseg.expressions import Vocabulary
from objseg.files import REPOSITORY
from objseg.training_log import TrainingLog


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--data", help="prepared data set (default: the size's)")
    parser.add_argument("--out", help="folder of snapshots, vocabulary, nets, log and curve "
                        "(default: where the size's solvers put snapshots)")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="train on GPU number N")
    device.add_argument("--cpu", action="store_true", help="train on the CPU (the default)")
    parser.add_argument("--weights", metavar="FILE",
                        help="where the stage starts (default: the size's trunk for lowres, the "
                        "newest lowres snapshot in --out for highres); none for a random start")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--resume", action="store_true", help="go on from the newest snapshot")
    before.add_argument("--overwrite", action="store_true",
                        help="delete the stage's snapshots of an earlier run first")
    parser.add_argument("--validate", type=int, metavar="N",
                        help="iterations between validations (default: a tenth of the run)")
    parser.add_argument("--validation-images", type=int, default=40, metavar="N",
                        help="images of the val split to validate on; 0 for no validation")
    add_switches(parser)
    options = parser.parse_args()
    if options.validate is not None and options.validate < 1:
        parser.error(f"--validate is {options.validate}, must be at least 1")
    if options.validation_images < 0:
        parser.error(f"--validation-images is {options.validation_images}, must be at least 0")
    return options


def starting_weights(options, size, out):
    """Return the path (str) of the file that the stage starts from, or None for a random start."""
    from objseg.training import TrainingError, snapshots

    if options.weights == "none":
        return None
    if options.weights:
        path, make = Path(options.weights), "name another file"
    elif options.stage == "lowres":
        path, make = REPOSITORY / size.trunk_weights, f"make it with: python {size.trunk_command}"
    else:
        found = snapshots(out, "lowres", "caffemodel")
        if not found:
            raise TrainingError(
                f"no lowres_iter_*.caffemodel in {out}: train --stage lowres first, or name a "
                "file with --weights"
            )
        return str(found[-1][1])
    if not path.is_file():
        raise TrainingError(
            f"{path}: no such file, but stage {options.stage} starts from it; {make}, or train "
            "from a random start with --weights none"
        )
    return str(path.resolve())


def clear_the_way(options, out):
    """Return the snapshot (iteration, path) to resume from, or None; keep runs from mixing."""
    from objseg.training import TrainingError, snapshots

    found = snapshots(out, options.stage)
    if options.resume:
        if not found:
            print(f"no snapshot in {out} yet: starting afresh", file=sys.stderr)
        return found[-1] if found else None
    if found and not options.overwrite:
        raise TrainingError(
            f"{out} holds snapshots of an earlier run ({found[-1][1].name} is the newest): go on "
            "with --resume, delete them with --overwrite, or choose another folder with --out"
        )
    for ending in ("solverstate", "caffemodel"):
        for _, path in snapshots(out, options.stage, ending):
            path.unlink()
    return None


def keep_vocabulary(options, dataset, out):
    """Leave the vocabulary beside the weights, whose embedding means nothing without it."""
    path = out / "vocabulary.txt"
    if path.is_file() and (options.resume or options.stage == "highres"):
        if Vocabulary.load(path).words != dataset.vocabulary.words:
            raise ValueError(
                f"{path}: the weights here were trained with another vocabulary than that of "
                f"{dataset.directory}; train stage 1 on this data set, or prepare it with "
                f"--vocabulary {path}"
            )
    dataset.vocabulary.save(path)


def main():
    """Generate the nets for the settings, then run the solver."""
    options = parse()
    size = SIZES[options.size]
    # Absolute, so that the nets mean the same in every working directory.
    data = Path(options.data or REPOSITORY / size.data).resolve()
    out = Path(options.out or REPOSITORY / size.snapshots).resolve()
    size, settings = from_switches(
        options, data=str(data), prototxt=str(out / "prototxt"), snapshots=str(out), start={},
        mode="CPU" if options.gpu is None else "GPU",
    )
    dataset = Dataset(data)

    from objseg.training import Validation, make_solver, restore, train

    settings.start[options.stage] = starting_weights(options, size, out)
    snapshot = clear_the_way(options, out)
    keep_vocabulary(options, dataset, out)
    generate(size, settings, out / "prototxt", [options.stage])
    if options.gpu is None and not options.cpu and size.mode == "GPU":
        print("no --gpu N given: training on the CPU", file=sys.stderr)
    solver, parameters = make_solver(
        out / "prototxt" / f"solver_{options.stage}.prototxt", options.stage, options.gpu,
        weights=not snapshot,
    )
    if snapshot:
        iteration, path = snapshot
        restore(solver, path)
        solver.net.layers[0].seek(iteration * settings.iter_size)
        print(f"resuming from {path}", file=sys.stderr)
    images = [image for image in dataset.images("val") if image.regions]
    images = images[:options.validation_images]
    validation = None
    if images:
        deploy = out / "prototxt" / f"deploy_{options.stage}.prototxt"
        validation = Validation(images, dataset, deploy, solver.net, options.gpu)
    elif options.validation_images:
        print(f"{data}: the val split is empty, so there is no validation", file=sys.stderr)
    log = TrainingLog(out / f"{options.stage}_log.csv", solver.iter)
    try:
        stopped = train(solver, parameters, options.stage, log, validation,
                        options.validate or max(1, parameters.max_iter // 10))
    finally:
        if log.draw():
            print(log.summary())
    if stopped:
        print(f"stopped at iteration {solver.iter}; go on with --resume", file=sys.stderr)
        return 128 + stopped
    return 0


if __name__ == "__main__":
    environment.run(main)
