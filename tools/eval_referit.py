"""Evaluate methods on a split of a prepared data set: the paper's Table 1.

    python tools/eval_referit.py
    python tools/eval_referit.py --size slim --method all --workers 2
    python tools/eval_referit.py --method highres --weights out/mine/highres_iter_18000.caffemodel
    mpirun -n 16 python tools/eval_referit.py --mpi

Prints the table and writes results.json, samples.csv and report.html. An evaluation that was
stopped goes on where it was when the same command is given again; delete the folder's journal/ to
start afresh.
"""

from common import environment

# One BLAS thread per process: processes use the cores better than threads do, and a sum split among
# threads is rounded otherwise, which moves a pixel now and then.
environment.enter(blas_threads=1)

import shlex
import sys

from common.arguments import Parser, add_net_workers, net_workers, positive
from common.method_arguments import add_methods, chosen

from objseg.evaluation.evaluate import assist, evaluate
from objseg.methods.table1 import passes
from objseg.parallel.ranks import open_ranks
from objseg.evaluation.report.gallery import gallery
from objseg.evaluation.report.page import write_page
from objseg.evaluation.report.results import results, write_results
from objseg.evaluation.report.text import terminal


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_methods(parser)
    parser.add_argument("--limit", type=positive, metavar="N",
                        help="only the first N samples; their report goes to OUT/firstN")
    add_net_workers(parser)
    parser.add_argument("--mpi", action="store_true",
                        help="be one of the processes of mpirun, which share the images")
    parser.add_argument("--compat-authors", action="store_true",
                        help="map masks to the image as the authors' TensorFlow code does")
    return parser.parse_args()


def run(options, ranks):
    """Evaluate every method, print Table 1, write the report."""
    workers = net_workers(options)
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
            dataset, options.split, group, out / "journal", samples, unreadable, workers, ranks,
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
