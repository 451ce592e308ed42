"""Evaluate methods on a split of a prepared data set: the paper's Table 1.

    python tools/eval_referit.py
    python tools/eval_referit.py --size slim --method all --workers 2
    python tools/eval_referit.py --method highres --weights out/mine/highres_iter_18000.caffemodel
    mpirun -n 16 python tools/eval_referit.py --mpi

Prints the table and writes results.json, samples.csv and report.html. An evaluation that was
stopped goes on where it was when the same command is given again; delete the folder's journal/ to
start afresh.
"""

import os

# One BLAS thread a process, set before anything loads BLAS: processes use the cores better than
# threads do, and a sum split among threads is rounded otherwise, which moves a pixel now and then.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from common import environment

environment.enter()

import argparse
import shlex
import sys

from common.switches import add_methods, choose_workers, chosen

from objseg.evaluation.evaluate import assist, evaluate
from objseg.methods.table1 import passes
from objseg.parallel.ranks import open_ranks
from objseg.evaluation.report.gallery import gallery
from objseg.evaluation.report.page import write_page
from objseg.evaluation.report.results import results, write_results
from objseg.evaluation.report.text import terminal


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_methods(parser)
    parser.add_argument("--limit", type=int, metavar="N",
                        help="only the first N samples; their report goes to OUT/firstN")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="processes; the numbers are the same for any N (default: a process a "
                        "core, at most 4; 1 on a GPU)")
    parser.add_argument("--mpi", action="store_true",
                        help="be one of the processes of mpirun, which share the images")
    parser.add_argument("--compat-authors", action="store_true",
                        help="map masks to the image as the authors' TensorFlow code does")
    options = parser.parse_args()
    for name in ("limit", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}, must be at least 1")
    choose_workers(options)
    return options


def run(options, ranks):
    """Evaluate every method, print Table 1, write the report."""
    if options.gpu is not None:
        options.gpu += ranks.local_rank
    dataset, configurations, out = chosen(options, compat_authors=options.compat_authors)
    if ranks.rank > 0:
        for group in passes(configurations):
            assist(dataset, group, ranks)
        return
    samples = dataset.samples(options.split)[: options.limit]
    unreadable = {}
    by_pass = [
        evaluate(
            dataset, options.split, group, out / "journal", samples, unreadable, options.workers,
            ranks,
        )
        for group in passes(configurations)
    ]
    evaluations = [evaluation for group in by_pass for evaluation in group]
    command = shlex.join(["python", "tools/eval_referit.py", *sys.argv[1:]])
    outcome = results(dataset, options.split, evaluations, unreadable, command, options.limit)
    print(terminal(outcome))
    report = out / f"first{options.limit}" if options.limit else out  # that of all samples stays
    write_results(report, outcome, evaluations)
    write_page(report, outcome, evaluations, gallery(dataset, by_pass, out / "journal"))
    print(f"\nreport: {report / 'report.html'}")


def main():
    """Evaluate, alone or together with other processes."""
    options = parse()
    ranks = open_ranks(options.mpi)
    with ranks.together():
        run(options, ranks)


if __name__ == "__main__":
    environment.run(main)
