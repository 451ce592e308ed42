"""Reproduce the paper's Table 1 and Table 2 on a data set, from raw data to one report.

    python tools/reproduce.py --size slim                           the drawn scenes of make demo
    python tools/reproduce.py --gpu 0                               ReferIt at the paper's size
    python tools/reproduce.py --raw PHOTOS --data data/mine --size slim -- --train-convnet

Prepares the data, proposes regions, trains the models, times and scores the methods, and writes
OUT/report.html. The same command goes on where it was stopped: each tool keeps what is up to date,
and makes again what depends on an input that has changed. Weights of other inputs are moved to
OUT/weights/earlier_N, never deleted. What follows `--` goes to every tools/train.py.
"""

from common import environment

environment.enter()

import argparse
import itertools
import os
import time
from pathlib import Path

from common.arguments import Parser, add_data, add_device, add_size, positive
from common.method_arguments import add_method, chosen_methods
from common.next_commands import segment_command, shown
from common.steps import Step, Steps
from common.switches import add_switches

from models.registry import MODELS
from models.sizes import SIZES
from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import REPOSITORY, write_text
from objseg.methods.configuration import require_trunk
from objseg.methods.table1 import METHODS
from objseg.parallel.cores import available_cores

DEMO = REPOSITORY / "data" / "raw" / "demo"
TABLE_2 = ("per-word-average", "scrc-grabcut", "grounder-grabcut", "mcg-classification", "lowres",
           "highres")
"""The methods that are timed: the columns of the paper's Table 2, and our lowres."""


def parse() -> argparse.Namespace:
    """Read the command line; fills in the defaults and makes every path absolute."""
    parser = Parser(__doc__)
    add_size(parser)
    add_data(parser)
    parser.add_argument("--raw", type=Path, metavar="DIR",
                        help="raw data that --data is made of (default: data/raw/NAME, where NAME "
                        "is the name of the --data folder)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of weights, results and report (default: out/NAME_SIZE)")
    parser.add_argument("--published", type=Path, metavar="DIR",
                        help="published proposals, see tools/make_proposals.py (default: none)")
    add_method(parser, "all")
    parser.add_argument("--no-timing", action="store_true",
                        help="leave out Table 2, for which the machine should be idle")
    parser.add_argument("--fresh", action="store_true",
                        help="rename an earlier OUT to OUT.1, OUT.2 ... and start afresh")
    parser.add_argument("--jobs", type=positive, metavar="N",
                        help="steps at a time (default: one a core, at most 4; 1 on a GPU)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.add_argument("train", nargs="*", metavar="-- SWITCH", help="for tools/train.py")
    add_device(parser)
    options = parser.parse_args()
    of_training = argparse.ArgumentParser(prog="tools/reproduce.py --")
    add_switches(of_training)
    switches = of_training.parse_args(options.train)  # a wrong one ends here, not hours later
    options.cached_convnet = SIZES[options.size].cached_convnet
    if switches.cached_convnet is not None:
        options.cached_convnet = switches.cached_convnet
    options.data = (options.data or REPOSITORY / SIZES[options.size].data).resolve()
    name = options.data.name
    options.raw = (options.raw or REPOSITORY / "data" / "raw" / name).resolve()
    options.out = (options.out or REPOSITORY / "out" / f"{name}_{options.size}").resolve()
    options.published = options.published and options.published.resolve()
    options.jobs = options.jobs or (min(4, available_cores()) if options.gpu is None else 1)
    return options


class Plan:
    """The steps for parsed ``options``; those of a kind that runs together share the cores."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.methods = chosen_methods(options, "all")
        used = {METHODS[name].model for name in self.methods}
        used |= {MODELS[model].start_model for model in used if model}
        self.models = [model for model in MODELS if model in used]
        self.common = ("--size", options.size, "--data", options.data,
                       *(("--cpu",) if options.gpu is None else ("--gpu", options.gpu)))
        self.threads = max(1, available_cores() // options.jobs)

    def step(self, name: str, tool: str, *words, after=(), threads: int | None = None) -> Step:
        """Return the Step that runs tools/TOOL.py with the arguments ``words``."""
        command = (f"tools/{tool}.py", *map(str, words))
        return Step(name, command, tuple(after), threads or self.threads)

    def data(self) -> list[Step]:
        """List the steps that make the data set, the proposals and their features."""
        options, steps, processes = self.options, [], ("--workers", self.threads)
        if options.raw == DEMO:
            steps.append(self.step("draw the scenes", "make_demo_data", *processes))
        # without raw data the data set has been prepared elsewhere
        if steps or options.raw.exists() or not (options.data / "index.json").exists():
            steps.append(self.step("prepare the data", "prepare_referit", "--raw", options.raw,
                                   "--out", options.data, *processes, after=["draw the scenes"]))
        for kind, user in (("boxes", "features"), ("segments", "segments")):
            if self.need(user):
                words = ("--published", options.published) if options.published else ()
                # Where other lists or edges are wanted, proposals that began here are replaced.
                words += ("--overwrite",) if self.begun(kind).exists() else ()
                steps.append(self.step(f"propose {kind}", "make_proposals", "--data", options.data,
                                       "--kind", kind, *processes, *words,
                                       after=["prepare the data"]))
        if self.options.cached_convnet and self.of_maps:
            processes = ("--workers", self.threads if options.gpu is None else 1)
            steps.append(self.step("compute convolutions", "extract_convnet", *self.common,
                                   *processes, after=["prepare the data"], threads=1))
        if self.need("features"):
            processes = ("--workers", self.threads if options.gpu is None else 1)
            steps.append(self.step("compute features", "extract_features", *self.common,
                                   *processes, after=["propose boxes"], threads=1))
        return steps

    def need(self, kind: str) -> set[str]:
        """Return the models that learn from proposals of a ``kind``: features or segments."""
        return {METHODS[name].model for name in self.methods if METHODS[name].needs == kind}

    @property
    def of_maps(self) -> set[str]:
        """The models that can learn from the maps of held convolutions: those of whole pictures."""
        return {"per-word", "lowres", "highres"}.intersection(self.models)

    def begun(self, kind: str) -> Path:
        """Return the file whose presence says that this tool made the first proposals."""
        return self.options.out / "steps" / f"{kind}.begun"

    def training(self) -> list[Step]:
        """List the steps that train the models."""
        steps = []
        for model in self.models:
            after = ["prepare the data", f"train {MODELS[model].start_model}"]
            after += ["compute convolutions"] * (model in self.of_maps)
            after += ["compute features"] * (model in self.need("features"))
            after += ["propose segments"] * (model in self.need("segments"))
            steps.append(self.step(
                f"train {model}", "train", "--model", model, *self.common, "--out",
                self.options.out / "weights", "--resume", "--if-changed", "restart",
                *self.options.train, after=after,
            ))
        return steps

    def report(self, failed=()) -> list[Step]:
        """List the steps that time and score the methods, but for models that ``failed``.

        They run one after the other: the timing has the machine for itself, and the scoring starts
        processes with a BLAS thread each.
        """
        methods = [name for name in self.methods if f"train {METHODS[name].model}" not in failed]
        timed = [name for name in TABLE_2 if name in methods]
        out = self.options.out
        words = (*self.common, "--weights", out, "--out", out)
        steps = []
        if timed and not self.options.no_timing:
            named = [f"--method={name}" for name in timed]
            steps.append(self.step("time the methods", "time_referit", *words, "--resume", *named,
                                   threads=available_cores()))
        if methods:
            named = [f"--method={name}" for name in methods]
            steps.append(self.step("score the methods", "eval_referit", *words, *named,
                                   threads=1))
        return steps


def run(plan: Plan) -> list[str]:
    """Run the steps of a plan; returns the names of those that failed or could not start."""
    for kind in ("boxes", "segments"):
        if not (plan.options.data / "proposals" / kind).exists():
            write_text(plan.begun(kind), "")
    first = [*plan.data(), *plan.training()]
    with Steps(len(first) + len(plan.report()), plan.options.jobs) as steps:
        failed = steps.run(first)
        if "prepare the data" not in failed:
            for step in plan.report(failed):
                failed += steps.run([step])
    return failed


def set_aside(out: Path):
    """Rename the folder ``out`` to the first of OUT.1, OUT.2 ... that does not exist."""
    if out.exists():
        names = (out.with_name(f"{out.name}.{number}") for number in itertools.count(1))
        aside = next(path for path in names if not path.exists())
        os.rename(out, aside)
        print(f"moved: {shown(out)} to {shown(aside)}")


def main():
    """Run all steps, then name the report and the next command."""
    options = parse()
    plan, size = Plan(options), SIZES[options.size]
    if options.dry_run:
        print(*plan.data(), *plan.training(), *plan.report(), sep="\n")
        return
    if any(size.recipes[model].start == size.pretrained for model in plan.models):
        require_trunk(REPOSITORY / size.pretrained, size)
    if options.fresh:
        set_aside(options.out)
    began = time.monotonic()
    failed = run(plan)
    print(f"{time.monotonic() - began:.0f} s in all")
    if failed:
        raise UserError(f"not done: {', '.join(failed)}; the reasons are above. Mend them and give "
                        "the same command again: it goes on from there")
    print(f"report: {shown(options.out / 'report.html')}")
    stages = [name for name in ("highres", "lowres") if name in plan.models]
    command = stages and segment_command(options, Dataset(options.data), options.out, stages[0])
    if command:
        print(f"now try: {command}")


if __name__ == "__main__":
    environment.run(main)
