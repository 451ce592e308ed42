"""Reproduce the paper's Table 1 and Table 2 on a data set, from raw data to one report.

    python tools/reproduce.py --size slim                           the drawn scenes of make demo
    python tools/reproduce.py --gpu 0                               ReferIt at the paper's size
    python tools/reproduce.py --raw PHOTOS --data data/mine --size slim -- --train-convnet

Prepares the data, proposes regions, trains every model, times and evaluates every method, and
writes OUT/report.html. The steps stand in tools/reproduce.mk: the same command goes on where it
was stopped, and redoes what depends on an input that has changed, and nothing else. What follows
`--`, switches of model and solver, goes to every tools/train.py.
"""

from common import environment

environment.enter()

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from common.arguments import add_data, add_device, add_size, positive

from models.registry import MODELS
from models.settings import add_switches, chosen_recipe
from models.sizes import SIZES
from objseg.errors import UserError
from objseg.regions.edge_boxes import default_forest
from objseg.files import REPOSITORY, sha256, write_text
from objseg.methods.configuration import conventional_prototxt, require_trunk

DEMO = REPOSITORY / "data" / "raw" / "demo"


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_size(parser)
    add_data(parser)
    parser.add_argument("--raw", type=Path, metavar="DIR",
                        help="what --data is made of (default: data/raw/NAME, NAME being its own)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="models, results and report (default out/NAME_SIZE)")
    parser.add_argument("--published", type=Path, metavar="DIR",
                        help="published proposals, see tools/make_proposals.py")
    parser.add_argument("--jobs", type=positive, metavar="N",
                        help="steps at a time (default: one a core, at most 4; 1 on a GPU)")
    parser.add_argument("train", nargs="*", metavar="-- SWITCH", help="for tools/train.py")
    add_device(parser)
    return parser.parse_args()


def variables(options, cores, jobs):
    """Return {name: value} of what tools/reproduce.mk leaves open, for parsed ``options``."""
    size = SIZES[options.size]
    data = (options.data or REPOSITORY / size.data).resolve()
    raw = (options.raw or REPOSITORY / "data" / "raw" / data.name).resolve()
    out = (options.out or REPOSITORY / "out" / f"{data.name}_{size.name}").resolve()
    parser = argparse.ArgumentParser(prog="--")
    add_switches(parser)
    switches = parser.parse_args(["--size", size.name, *options.train])
    weights = {
        model: out / "weights" / f"{model}_iter_{recipe.iterations}.caffemodel"
        for model, recipe in ((model, chosen_recipe(switches, size, model)) for model in MODELS)
    }
    return {
        "SIZE": size.name,
        "DATA": data,
        "RAW": raw,
        "DRAWN": DEMO / "RealGames.txt" if raw == DEMO else "",
        "OUT": out,
        "PUBLISHED": options.published.resolve() if options.published else "",
        "MODELS": " ".join(MODELS),
        "NAMED": " ".join([
            f"--prototxt {out}/weights/prototxt",
            *(f"--weights {model}={path}" for model, path in weights.items()),
        ]),
        "PROTOTXT": conventional_prototxt(size),
        "TRUNK": REPOSITORY / size.pretrained,
        "DEVICE": "--cpu" if options.gpu is None else f"--gpu {options.gpu}",
        "SWITCHES": shlex.join(options.train),
        "START_per-word": REPOSITORY / size.recipes["per-word"].start,
        "MACHINE": cores,
        "CORES": max(1, cores // jobs),
        "NETS": 1 if options.gpu is not None else max(1, cores // jobs),
        **{f"WEIGHTS_{model}": path for model, path in weights.items()},
    }


def keep(path, text):
    """Write ``text`` to ``path`` unless it is there already, so that make sees when it changes."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def main():
    """Hand the steps to make and show what they say."""
    options = parse()
    cores = len(os.sched_getaffinity(0))
    jobs = options.jobs or (min(4, cores) if options.gpu is None else 1)
    values = variables(options, cores, jobs)
    awkward = [str(value) for value in values.values() if isinstance(value, Path)
               and set(str(value)) & set(" $#:%\\'\"")]
    if awkward:
        raise UserError(
            f"{awkward[0]}: make cannot handle this name; choose a folder without blanks and "
            "special characters, or link to it from one"
        )
    require_trunk(values["TRUNK"], SIZES[options.size])
    out = values["OUT"]
    keep(out / "steps" / "switches", values["SWITCHES"] + "\n")
    keep(out / "steps" / "published", f"{values['PUBLISHED']}\n")
    forest = default_forest()
    keep(out / "steps" / "forest", f"{sha256(forest) if forest else ''}\n")
    began = time.monotonic()
    # A pipe in place of the terminal: steps at a time would tear each other's progress bars.
    make = subprocess.Popen(
        ["make", "--no-print-directory", f"--jobs={jobs}", "--file", "tools/reproduce.mk",
         *(f"{name}={value}" for name, value in values.items())],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    for line in make.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
    status = make.wait()
    print(f"{time.monotonic() - began:.0f} s in all")
    if status:
        raise UserError(
            "a step failed (above); the same command goes on from there when its cause is mended"
        )


if __name__ == "__main__":
    environment.run(main)
