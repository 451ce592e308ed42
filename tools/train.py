"""Train a stage of the model.

    python tools/train.py --stage lowres
    python tools/train.py --stage highres
    python tools/train.py --stage lowres --size slim --data data/demo --out out/demo --cpu

Ctrl-C writes a snapshot and stops; --resume goes on from the newest one.
"""

import environment

environment.enter()

import argparse
import sys
from pathlib import Path

from models.generate import add_switches, generate, resolve
from models.nets import STAGES
from models.sizes import SIZES
from objseg.dataset import Dataset
from objseg.files import REPOSITORY
from objseg.training_log import TrainingLog


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--data", help="prepared data set (default: the size's)")
    parser.add_argument("--out", dest="snapshots",
                        help="folder of snapshots, nets, log and curve (default: the size's)")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="train on GPU number N")
    device.add_argument("--cpu", action="store_true", help="train on the CPU")
    parser.add_argument("--weights", metavar="FILE",
                        help="where the stage starts (default: the trunk's weights for lowres, the "
                        "newest lowres snapshot for highres); none for a random start")
    parser.add_argument("--resume", action="store_true", help="go on from the newest snapshot")
    parser.add_argument("--validate", type=int, metavar="N", default=0,
                        help="iterations between validations (default: a tenth of the run)")
    parser.add_argument("--validation-images", type=int, default=40, metavar="N",
                        help="images of the val split to validate on; 0 for no validation")
    add_switches(parser)
    return parser.parse_args()


def starting_weights(options, size):
    """Return the path of the file that the stage starts from, or None for a random start."""
    from objseg.training import newest

    if options.weights == "none":
        return None
    if options.weights:
        return options.weights
    if options.stage == "lowres":
        return REPOSITORY / options.trunk_weights
    found = newest(options.snapshots, "lowres", "caffemodel")
    if found is None:
        raise ValueError(
            f"no lowres_iter_*.caffemodel in {options.snapshots}: train --stage lowres first, or "
            "name a file with --weights"
        )
    return found[0]


def main():
    """Generate the nets for the settings, then run the solver."""
    options = parse()
    size = resolve(options)
    for key in ("validate", "validation_images"):
        if getattr(options, key) < 0:
            raise ValueError(f"--{key.replace('_', '-')} is {getattr(options, key)}, must be >= 0")
    # Absolute, so that the nets mean the same from every working directory.
    options.data = str(Path(REPOSITORY, options.data).resolve())
    options.snapshots = str(Path(REPOSITORY, options.snapshots).resolve())
    options.mode = None
    dataset = Dataset(options.data)

    from objseg.training import Validation, make_solver, newest, train

    out = Path(options.snapshots)
    generate(size, options, out / "prototxt")
    if options.gpu is None and not options.cpu and size.mode == "GPU":
        print("no --gpu N given: training on the CPU", file=sys.stderr)
    snapshot = newest(out, options.stage, "solverstate") if options.resume else None
    weights = None if snapshot else starting_weights(options, size)
    solver, parameters = make_solver(
        out / "prototxt" / f"solver_{options.stage}.prototxt", weights, options.gpu
    )
    if snapshot:
        path, iteration = snapshot
        solver.restore(str(path))
        solver.net.layers[0].seek(iteration * options.iter_size)
        print(f"resuming from {path}", file=sys.stderr)
    validation = None
    if options.validation_images:
        deploy = out / "prototxt" / f"deploy_{options.stage}.prototxt"
        validation = Validation(dataset, deploy, solver.net,
                                options.validation_images, options.gpu)
    log = TrainingLog(out / f"{options.stage}_log.csv", solver.iter)
    try:
        stopped = train(solver, parameters, options.stage, log, validation,
                        options.validate or max(1, parameters.max_iter // 10))
    finally:
        log.draw()
    if stopped:
        print(f"stopped at iteration {solver.iter}; go on with --resume", file=sys.stderr)
        return 128 + stopped
    return 0


if __name__ == "__main__":
    environment.run(main)
