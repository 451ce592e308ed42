"""Time methods on a split of a prepared data set: the paper's Table 2.

    python tools/time_referit.py --method all
    python tools/time_referit.py --size slim --method highres --method mcg-classification

The time runs from the decoded image to the mask. What eval_referit.py reads from the data set,
proposals and features, is made anew and is part of the time; loading a net is not. "Alone" is one
expression of an image, as in Table 2; "shared" is all the expressions of an image together, over
their number. One process computes on every core; OPENBLAS_NUM_THREADS=N takes N.

Prints the table and writes timing.json, which eval_referit.py shows in its report.html.
"""

from common import environment

environment.enter()

import json
import sys
from functools import partial

from common.arguments import Parser, positive
from common.method_arguments import add_methods, chosen

from objseg.caffe.blas import caffes_blas
from objseg.files import Progress, write_text
from objseg.methods.table1 import METHODS, open_methods
from objseg.evaluation.evaluate import Request
from objseg.evaluation.table2 import draw_cases, measure, table


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    add_methods(parser)
    parser.add_argument("--samples", type=positive, default=20, metavar="N",
                        help="images to time each method on, drawn at random (default: 20)")
    parser.add_argument("--resume", action="store_true",
                        help="do nothing where timing.json was made of the same data and weights")
    return parser.parse_args()


def basis(path):
    """Return what the times in the file ``path`` were made of, or None where that is not known."""
    try:
        return json.loads(path.read_bytes())["of"]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None


def main():
    """Time every method by itself, print Table 2, write timing.json."""
    options = parse()
    dataset, configurations, out, unavailable = chosen(options, cached=False)
    for title, why in unavailable.items():
        print(f"left out: {title}: {why}", file=sys.stderr)
    made_of = {
        "data set": dataset.identity, "split": options.split, "samples": options.samples,
        "gpu": options.gpu,
        "methods": [configuration.identity() for configuration in configurations],
    }
    times = out / "timing.json"
    if options.resume and basis(times) == made_of:
        print(f"{times}: made of the same data and weights, kept")
        return
    cases = draw_cases(dataset, options.split, options.samples)

    # Loading Caffe takes its time; by now the input is known to be good.
    from objseg.caffe.devices import device_name, use_device

    use_device(options.gpu)
    request = Request(dataset, options.split, options.size)
    outcome = {
        "data": dataset.name,
        "split": options.split,
        "size": options.size,
        "device": device_name(options.gpu),
        "threads": caffes_blas()["num_threads"],
        "samples": len(cases),
        "notes": list(dataset.about.notes),
        "of": made_of,
        "methods": [],
    }
    with Progress(2 * len(cases) * len(configurations), "time", "call") as progress:
        for configuration in configurations:
            method = METHODS[configuration.method]
            advance = partial(progress.advance, note=method.title)
            outcome["methods"].append({
                "method": method.name, "title": method.title,
                **measure(open_methods([configuration]), cases, advance),
                "paper": method.seconds if request.is_papers else None,
            })
    print("\n".join(table(outcome)))
    write_text(times, json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    print(f"\ntimes: {times}")


if __name__ == "__main__":
    environment.run(main)
