"""Evaluate methods on a split of a prepared data set: the paper's Table 1.

    python tools/eval_referit.py
    python tools/eval_referit.py --size slim --method all --workers 2
    python tools/eval_referit.py --method highres --weights out/mine/highres_iter_18000.caffemodel

Prints the table and writes results.json, samples.csv and report.html. An evaluation that was
stopped goes on where it was when the same command is given again; delete the folder's journal/ to
start afresh.
"""

import os

# One BLAS thread a process, set before anything loads BLAS: processes use the cores better than
# threads do, and a sum split among threads is rounded otherwise, which moves a pixel now and then.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import environment

environment.enter()

import argparse
import shlex
import sys
from pathlib import Path

from switches import add_device, choose_workers

from models.registry import MODELS
from models.sizes import SIZES
from objseg import report
from objseg.dataset import SPLITS, Dataset
from objseg.evaluation import evaluate, key_of, predict
from objseg.files import REPOSITORY
from objseg.methods import METHODS, configure, passes


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="prepared data set (default: the size's, data/referit for paper)")
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--method", action="append", choices=[*METHODS, "all"],
                        help="repeatable; default highres")
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--weights", action="append", default=[], metavar="[MODEL=]FILE",
                        help="in place of the file that training leaves for the size; repeatable")
    parser.add_argument("--prototxt", type=Path, metavar="DIR",
                        help="folder of deploy_MODEL.prototxt (default: the size's)")
    parser.add_argument("--vocabulary", type=Path, metavar="FILE",
                        help="the words that the weights were trained with (default: "
                        "MODEL_vocabulary.txt beside the weights, else the data set's)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes; the numbers are the same for any N (default: a process a "
                        "core, at most 4; 1 on a GPU)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default out/eval_DATA_SPLIT in the repository")
    add_device(parser)
    parser.add_argument("--compat-authors", action="store_true",
                        help="map masks to the image as the authors' TensorFlow code does")
    options = parser.parse_args()
    for name in ("limit", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}, must be at least 1")
    choose_workers(options)
    return options


def chosen_weights(texts, methods):
    """Turn the values of --weights into {model: path}; a bare FILE is for the only model."""
    models = {METHODS[method].model: None for method in methods if METHODS[method].model}
    weights = {}
    for text in texts:
        name, _, path = text.rpartition("=")
        if name not in MODELS:  # no such prefix, or a file name with "=" in it
            if len(models) != 1:
                raise ValueError(
                    f"--weights {text}: which model is it for? Write --weights MODEL={text}, "
                    f"with MODEL one of {', '.join(models or MODELS)}"
                )
            (name,), path = models, text
        if name not in models:
            raise ValueError(
                f"--weights {text}: no method that uses the model {name} is evaluated; add --method"
            )
        weights[name] = path
    return weights


def main():
    """Evaluate every method, print Table 1, write the report."""
    options = parse()
    asked = options.method or ["highres"]
    methods = [name for name in METHODS if name in asked or "all" in asked]
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    weights = chosen_weights(options.weights, methods)
    configurations = [
        configure(
            name, size, dataset.directory, weights.get(METHODS[name].model), options.vocabulary,
            options.prototxt, options.gpu, options.compat_authors,
        )
        for name in methods
    ]
    samples = dataset.samples(options.split)[: options.limit]
    out = options.out or REPOSITORY / "out" / f"eval_{dataset.name}_{options.split}"
    unreadable = {}
    evaluations = [
        evaluation
        for group in passes(configurations)
        for evaluation in evaluate(
            dataset, options.split, group, out / "journal", samples, unreadable, options.workers
        )
    ]
    command = shlex.join(["python", "tools/eval_referit.py", *sys.argv[1:]])
    outcome = report.results(dataset, options.split, evaluations, unreadable, command)
    print(report.terminal_table(outcome))

    shown = evaluations[-1]
    chosen = report.choose(shown)
    masks = predict(
        dataset, shown.configuration,
        [shown.samples[index] for indices in chosen.values() for index in indices],
        out / "journal" / f"{shown.method.name}-{key_of(shown.identity)}-gallery.npz",
    )
    pictures = report.draw(dataset, shown, chosen, masks)
    report.write(out, dataset, evaluations, outcome, pictures)
    print(f"\nreport: {out / 'report.html'}")


if __name__ == "__main__":
    environment.run(main)
