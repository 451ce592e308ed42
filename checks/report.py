"""The results of a check as Markdown, which reads well as it is.

``results`` is {part: its result}, where a part that did not end well has only a "failure".
"""

import json
import shlex
import sys
from pathlib import Path
from statistics import median

from checks.comparison import greatest
from checks.processes import TIMES, passed
from checks.timing import EXPRESSIONS
from objseg.files import write_text
from objseg.methods.table1 import METHODS

DIRECTIONS = ("forward", "backward")
SLOWEST = 10
"""Layers, and errors of a part, that are listed one by one."""

K40 = "the paper, on a K40"


def write(out: Path, lines: list[str], results: dict[str, dict]) -> list[str]:
    """Print the report and write report.md, and report.json with every figure; returns the report.

    It begins with the command, without the place of torch, which means nothing on other machines.
    """
    words = ["python", f"tools/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    if "--torch-python" in words:
        words[words.index("--torch-python") + 1] = "PATH"
    lines = [f"`{shlex.join(words)}`", "", *lines]
    write_text(out / "report.md", "\n".join(lines) + "\n")
    write_text(out / "report.json", json.dumps({"parts": results}, indent=1))
    print("\n".join(lines))
    return lines


def markdown(results: dict[str, dict], size: str) -> list[str]:
    """Return the lines of the report."""
    finished = {name: result for name, result in results.items() if "failure" not in result}
    sections = [
        [f"Nets of size {size}; times are medians of the repetitions."], _machine(finished),
        _correctness(finished), _agreement(finished), _training(finished), _times(finished, size),
        _layers(finished), _failures(results),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines).split("\n")


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def _of(results, word):
    """Return the parts of one function: {rest of the name: result}."""
    return {name.partition(" ")[2]: result for name, result in results.items()
            if name.split()[0] == word}


def _verdict(result):
    return "ok" if result["passed"] else "FAILED"


def _machine(results):
    facts = dict(results["machine"]["facts"])
    for result in results.values():
        if "torch" in result:
            facts["PyTorch"] = result["torch"]
    others = [result["others"] for result in results.values() if "others" in result]
    if others:
        facts["other programs"] = (
            f"{median(others):.0%} of the cores in the median part, {max(others):.0%} in the worst"
        )
    return [f"- {name}: {text}" for name, text in facts.items()]


def _correctness(results):
    lines, compared = [], _of(results, "net")
    for arithmetic in sorted({r["arithmetic"] for r in compared.values()}, reverse=True):
        these = {n: r for n, r in compared.items() if r["arithmetic"] == arithmetic}
        limits = next(iter(these.values()))["limits"]
        kinds = sorted({kind for result in these.values() for kind in result["layers"]})
        lines += [
            f"## Against the CPU, {arithmetic}", "",
            "Layer by layer, on equal random weights and inputs: the greatest difference divided "
            f"by the greatest magnitude of its array, at most {limits['layer']:g}.", "",
            *table(["layer type", *DIRECTIONS], [
                [kind, *_worst(r["layers"].get(kind, {}) for r in these.values())] for kind in kinds
            ]), "",
            "Whole nets: the length of the difference divided by the length of the array, at most "
            f"{limits['values']:g} forward and {limits['gradients']:g} backward.", "",
            *table(["net", *DIRECTIONS, ""], [
                [name, *_worst(result["whole"].values()), _verdict(result)]
                for name, result in these.items()
            ]), "",
        ]
    return lines[:-1]


def _worst(results):
    """Return, as text, the greatest error of each direction in several {direction: error}."""
    results = list(results)
    errors = ([result[d] for result in results if d in result] for d in DIRECTIONS)
    return [f"{greatest(found):.1e}" if found else "-" for found in errors]


def _agreement(results):
    lines = [
        f"- {name}: error {result['error']:.1e}, at most {result['limit']:g}: {_verdict(result)}"
        for name, result in results.items() if "error" in result
    ]
    return ["## Agreement", "", *lines] if lines else []


def _training(results):
    rows = []
    for name, result in _of(results, "training").items():
        seconds, operations = median(result["seconds"]), result["operations"]
        rows.append([
            name, f"{result['parameters'] / 1e6:.1f} M",
            *(f"{count / 1e9:.1f}" for count in operations), f"{seconds:.4g} s",
            f"{sum(operations) / seconds / 1e9:.0f}",
            f"{sum(result['data_seconds']) / sum(result['seconds']):.1%}",
            f"{result['memory'] / 2**30:.2f}", f"{result['losses'][0]:.6g}",
            f"{result['losses'][-1]:.6g}", _verdict(result),
        ])
    header = ["net, images", "parameters", "GFLOP forward", "backward", "iteration", "GFLOP/s",
              "waiting for data", "peak GiB", "first loss", "last loss", ""]
    return [
        "## An iteration of training, from random weights", "", *table(header, rows), "",
        "Images: expressions for scrc and grounder. Peak: of the process, or on a GPU without "
        "CUDA's context.",
    ] if rows else []


def timings(results: dict[str, dict]) -> dict[str, tuple[float, float]]:
    """Return the median seconds per expression, image or iteration of all that was timed.

    Two each: those that passed, and those of the processor.
    """
    found = {}
    for name, result in results.items():
        for key in TIMES:
            if key in result:
                word, *rest = name.split()
                title = name if key == "seconds" else " ".join([word, key, *rest])
                found[title] = median(result[key]), median(result[f"{key} CPU"])
    return found


def counterparts(name: str) -> list[str]:
    """Return the names of the timings that the one called ``name`` is compared with."""
    word, _, rest = name.partition(" ")
    if name.startswith("training highres"):
        return [f"torch training{rest.removeprefix('highres')}"]
    if word not in ("segmentation", "split") or name.endswith(" stock"):
        return []
    stock = f"{name} stock"
    if name.endswith(" slim"):
        return [stock]
    if word == "segmentation":
        return [stock, f"onnx {rest}", f"torch {rest}", f"torch-best {rest}",
                K40 if rest == "alone" else name.replace("shared", "alone")]
    task, split = rest.split()
    return [stock, *{
        "evaluation": [f"torch-split {rest}", "segmentation alone"],
        "training": [f"torch-split {rest}"],
        "mpi-training": ["split training 1x1", f"split training 1x{split.split('x')[0]}"],
    }[task]]


def _times(results, size):
    found, paper = timings(results), {}
    if not found:
        return []
    if size == "paper":
        paper[K40] = METHODS["highres"].seconds, None
    rows, known = [], {**found, **paper}
    pairs = [(name, other) for name in found for other in counterparts(name) if other in known]
    for name, other in pairs:
        ratios = [f"{theirs / ours:.2f}" if theirs else "" for ours, theirs in
                  zip(found[name], known[other])]
        rows.append([name, *_seconds(found[name]), other, *_seconds(known[other]), *ratios])
    paired = set(sum(pairs, ()))
    rows += [[name, *_seconds(times), *[""] * 5]
             for name, times in found.items() if name not in paired]
    best = {result["way"] for name, result in results.items() if name.startswith("torch-best")}
    return [
        "## Times", "",
        *table(["what", "seconds", "of the CPU", "against", "seconds", "of the CPU",
                "times as fast", "by the CPU"], rows), "",
        "Seconds per expression for segmentation and evaluation, per iteration or image for "
        f"training. alone: a pass of the trunk for each expression, as the authors; shared: one "
        f"for {EXPRESSIONS}, as in evaluation. stock: with CAFFE_STOCK_CPU=1. onnx: the same net "
        "in onnxruntime. torch: the same in PyTorch, eager, random inputs on the device. AxB: A "
        "processes at once, of B BLAS threads each; those of training exchange no gradients, those "
        "of mpi-training do. of the CPU: summed over the cores; these repeat within a tenth on a "
        "busy machine.",
        *(f"torch-best: the fastest of PyTorch's ways was {way}." for way in sorted(best)),
    ]


def _seconds(times):
    return ["" if seconds is None else f"{seconds:.4g} s" for seconds in times]


def _layers(results):
    if "layers" not in results:
        return []
    result = results["layers"]
    layers = sorted(result["layers"], key=lambda layer: -sum(layer["seconds"]))
    rows, rest = [], {}
    for layer in layers[:SLOWEST]:
        cells = [layer["name"]]
        for key, multiplied, seconds in zip((0, 1), layer["multiplied"], layer["seconds"]):
            cells += [f"{layer['operations'][key] / 1e9:.3g}", f"{1e3 * seconds:.3g} ms",
                      _share(multiplied / result["peak"], seconds)]
        rows.append(cells)
    for layer in layers[SLOWEST:]:
        rest[layer["type"]] = rest.get(layer["type"], 0) + sum(layer["seconds"])
    seconds = sum(sum(layer["seconds"]) for layer in layers)
    floor = sum(sum(layer["multiplied"]) for layer in layers) / result["peak"]
    others = ", ".join(f"{kind} {1e3 * time:.3g} ms" for kind, time in
                       sorted(rest.items(), key=lambda item: -item[1]))
    return [
        "## Layers of a training iteration against the floor", "",
        f"The peak, one large matrix product, is {result['peak'] / 1e9:.0f} GFLOP/s. At the peak "
        f"all products take {floor:.3g} s, {_share(floor, seconds)} of the layers' "
        f"{seconds:.3g} s. By Winograd's method a convolution of 3x3 has a quarter of its "
        f"operations in products, one of 7x7 a third. The {SLOWEST} slowest layers of stage 2, an "
        "image; floor: the share of the layer's time that its products take at the peak.", "",
        *table(["layer", "GFLOP forward", "time", "floor", "GFLOP backward", "time", "floor"],
               rows), "", f"The rest: {others}.",
    ]


def _share(floor, seconds):
    return f"{floor / seconds:.0%}" if floor and seconds else "-"


def _failures(results):
    lines = []
    for name, result in results.items():
        if not passed(result):
            lines.append(f"- {name}: {result.get('failure', 'wrong results')}")
            lines += [
                "  - {layer} ({type}) {direction}, {array}: error {error:.1e}".format(**difference)
                for difference in result.get("failed", [])[:SLOWEST]
            ]
    return ["## Failed", "", *lines] if lines else ["All parts passed."]
