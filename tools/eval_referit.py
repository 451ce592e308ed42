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

import contextlib
import shlex
import sys
from dataclasses import replace

from common.arguments import Parser, add_net_workers, net_workers, positive
from common.method_arguments import add_methods, chosen

from objseg.evaluation.evaluate import Request, assist, evaluate
from objseg.evaluation.journal import claimed
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
                        help="only the first N samples; their report goes to "
                        "OUT/firstN (default: all)")
    add_net_workers(parser)
    parser.add_argument("--mpi", action="store_true",
                        help="be one of the processes of mpirun, which share the images")
    return parser.parse_args()


def write_report(request, out, by_pass, unavailable):
    """Print Table 1 and write the report of what :func:`evaluate` returned."""
    evaluations = [evaluation for group in by_pass for evaluation in group]
    command = shlex.join(["python", "tools/eval_referit.py", *sys.argv[1:]])
    outcome = results(request, evaluations, unavailable, command)
    print(terminal(outcome))
    report = out
    if request.limit is not None:  # the report of all samples stays
        report = out / f"first{request.limit}"
    write_results(report, outcome, evaluations)
    write_page(report, outcome, gallery(request.dataset, by_pass))
    print(f"\nreport: {report / 'report.html'}")


def main():
    """Evaluate, alone or together with other processes, and write the report."""
    options = parse()
    ranks = open_ranks(options.mpi)
    with contextlib.ExitStack() as stack:
        with ranks.together():
            choice = chosen(options)
            configurations = choice.configurations
            if options.gpu is not None:
                gpu = options.gpu + ranks.local_rank
                configurations = [replace(each, gpu=gpu) for each in configurations]
            if ranks.rank > 0:
                assist(choice.dataset, configurations, ranks)
            else:
                stack.enter_context(claimed(choice.out))
                for title, why in choice.unavailable.items():
                    print(f"left out: {title}: {why}", file=sys.stderr)
                request = Request(choice.dataset, options.split, options.size, options.limit)
                by_pass = evaluate(
                    request, configurations, choice.out / "journal", net_workers(options), ranks
                )
        ranks.end()
        if ranks.rank == 0:
            write_report(request, choice.out, by_pass, choice.unavailable)


if __name__ == "__main__":
    environment.run(main)
