"""The results of a benchmark as Markdown tables, which read well as they are."""

from statistics import median

from objseg.gpu_check.text import passed
from objseg.gpu_check.timing import EXPRESSIONS

GIB = 2**30


def report(results, size):
    """Lines of Markdown that say what was measured.

    ``results`` is {part: its dictionary, or {"failure": text} if it did not end well}; ``size`` is
    that of the nets.
    """
    sections = (_machine, _ratios, _models, _layers, _cores, _start, _failures)
    lines = [f"Size {size}; seconds are medians."]
    for section in sections:
        part = section(results)
        lines += ["", *part] if part else []
    return lines


def table(header, rows):
    """Lines of a Markdown table; cells are text, all but the first right-aligned."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def _found(results, name):
    """The result of a part that ended well, else None."""
    result = results.get(name)
    return result if result and "failure" not in result else None


def _of(results, word):
    """The parts of a function that ended well, as {rest of the name: result}."""
    return {name.partition(" ")[2]: result for name, result in results.items()
            if name.split()[0] == word and "failure" not in result}


def _machine(results):
    found = _found(results, "machine")
    if not found:
        return []
    facts = dict(found["facts"])
    for other in _of(results, "torch").values():
        facts["PyTorch"] = other["torch"]
    others = [result["others"] for result in results.values() if "others" in result]
    if others:
        facts["other programs"] = (
            f"{100 * median(others):.0f} % of the cores in the median part, "
            f"{100 * max(others):.0f} % in the worst"
        )
    return [f"- {name}: {text}" for name, text in facts.items()]


def ratios(results):
    """What is compared: [(what, seconds here, with what, its seconds, ratio wanted or None)]."""
    rows = []
    highres, segmentation = _found(results, "net highres"), _found(results, "evaluation")
    torch = {name: median(result["seconds"]) for name, result in _of(results, "torch").items()}
    if highres and "train 1" in torch:
        rows.append(("training, an iteration of an image", median(highres["seconds"]), "PyTorch",
                     torch["train 1"], 1.2))
    if segmentation:
        shared, alone = (median(segmentation[key]) for key in ("shared", "alone"))
        of = "evaluation, an expression"
        rows.append((f"{of}, trunk shared by {EXPRESSIONS}", shared,
                     "one at a time, as the authors", alone, 6))
        if "shared 1" in torch:
            rows.append((f"{of}, trunk shared", shared, "PyTorch, trunk shared",
                         torch["shared 1"] / EXPRESSIONS, 1.2))
        if "alone 1" in torch:
            rows.append((f"{of}, trunk shared", shared, "PyTorch, one at a time",
                         torch["alone 1"], None))
            rows.append((f"{of}, one at a time", alone, "PyTorch, one at a time",
                         torch["alone 1"], None))
    best = {task: _best(results, f"cores {task}") for task in ("evaluation", "training")}
    if segmentation and best["evaluation"]:
        split, seconds = best["evaluation"]
        rows.append((f"{of}, trunk shared, as {split}", seconds, "one at a time, as the authors",
                     alone, 6))
    for task, other, unit in (("evaluation", "shared", "evaluation, an expression, trunk shared"),
                              ("training", "train", "training, an iteration of an image")):
        others = _best(results, f"torch-cores {other}")
        if best[task] and others:
            rows.append((f"{unit}, as {best[task][0]}", best[task][1],
                         f"PyTorch, {'trunk shared, ' * (other == 'shared')}as {others[0]}",
                         others[1], None))
    opencv = _found(results, "opencv")
    if opencv:
        rows.append(("trunk alone, an image", median(opencv["caffe"]),
                     f"OpenCV {opencv['version']} dnn", median(opencv["opencv"]), None))
    return rows


def _best(results, prefix):
    """The fastest way to share all the cores out: (split, seconds), or None."""
    found = {name.split()[-1]: result["seconds"] for name, result in results.items()
             if name.startswith(prefix + " ") and "failure" not in result}
    found = {split: s for split, s in found.items() if split != "1x1" or len(found) == 1}
    return min(found.items(), key=lambda item: item[1]) if found else None


def _ratios(results):
    rows = []
    for what, own, other, seconds, aim in ratios(results):
        ratio = seconds / own
        verdict = "" if aim is None else f"{aim:g}: {'reached' if ratio >= aim else 'missed'}"
        rows.append([what, f"{own:.3f} s", other, f"{seconds:.3f} s", f"{ratio:.2f}", verdict])
    return ["## Ratios", "", *table(
        ["Caffe", "seconds", "against", "seconds", "times as fast", "aim"], rows
    )] if rows else []


def _models(results):
    found = _of(results, "net")
    if not found:
        return []
    rows, shapes = [], []
    for name, result in found.items():
        seconds = median(result["seconds"])
        rows.append([
            name, f"{result['parameters'] / 1e6:.1f} M", _batch(result["shapes"]),
            *(f"{operations / 1e9:.1f}" for operations in result["operations"]),
            f"{seconds:.2f} s", f"{sum(result['operations']) / seconds / 1e9:.0f}",
            f"{100 * sum(result['data_seconds']) / sum(result['seconds']):.2f} %",
            f"{result['memory'] / GIB:.2f}", f"{result['counted'] / GIB:.2f}",
            f"{result['columns'] / GIB:.2f}",
        ])
        shapes.append(f"- {name}: " + ", ".join(
            f"{blob} {'x'.join(map(str, shape))}" for blob, shape in result["shapes"].items()
        ))
    return [
        "## An iteration of training, from random weights", "",
        *table([
            "model", "parameters", "batch", "GFLOP forward", "backward", "iteration", "GFLOP/s",
            "waiting for data", "peak GiB", "counted GiB", "im2col GiB",
        ], rows), "",
        "Peak: of the whole process. Counted: weights, their gradients, the solver's history and "
        "the blobs (objseg/cost.py). im2col: its copies of the inputs.", "",
        "Shapes of the data's tops, the main layers, and what goes into the loss:", "", *shapes,
    ]


def _batch(shapes):
    """The batch of a model, from the shapes of its blobs (str)."""
    images = shapes.get("image", [0])[0]
    expressions = shapes.get("tokens", [0, 0])[1]
    parts = [f"{count} {word}{'s' * (count > 1)}" for count, word in
             ((images, "image"), (expressions, "expression")) if count]
    return ", ".join(parts)


def _layers(results):
    found = _found(results, "layers")
    if not found:
        return []
    peak, rows = found["peak"], []
    for row in found["layers"]:
        cells = [row["name"]]
        for index, direction in enumerate(("forward", "backward")):
            operations, seconds = row["operations"][index], row.get(direction)
            products = row["products"] and row["products"][index]
            cells += [
                f"{operations / 1e9:.1f}" if seconds else "-",
                f"{1e3 * seconds:.0f} ms" if seconds else "-",
                _share(operations / peak, seconds) if seconds and operations else "-",
                _share(operations / peak, products) if products and operations else "-",
            ]
        rows.append(cells)
    total = sum(found["operations"])
    rest = sorted(found["rest"].items(), key=lambda item: -item[1])
    return [
        "## Layers of a training iteration against the floor", "",
        f"The peak of one sgemm is {peak / 1e9:.0f} GFLOP/s, on the same BLAS and threads; the "
        f"floor of the iteration's {total / 1e9:.0f} GFLOP is {total / peak:.2f} s, of its "
        f"{found['seconds']:.2f} s {_share(total / peak, found['seconds'])}. Layers by the time "
        "that they take; share: of the layer's time, the floor's; product: the same of its "
        "matrix products alone, without im2col, col2im and bias.", "",
        *table(["layer", "GFLOP forward", "time", "share", "product",
                "GFLOP backward", "time", "share", "product"], rows), "",
        "The rest: " + ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in rest) + ".",
    ]


def _share(floor, seconds):
    return f"{100 * floor / seconds:.0f} %"


def _cores(results):
    rows = []
    for word, who in (("cores", "Caffe"), ("torch-cores", "PyTorch")):
        for name, result in _of(results, word).items():
            task, split = name.split()
            unit = "evaluation, an expression, trunk shared" \
                if task in ("evaluation", "shared") else "training, an image"
            rows.append([f"{unit}, {who}", split, f"{result['seconds']:.3f} s"])
    rows.sort(key=lambda row: row[0])
    return ["## Processes x BLAS threads", "", *table(
        ["what", "split", "seconds"], rows
    ), "", "Training in several processes exchanges no gradients here."] if rows else []


def _start(results):
    found = _found(results, "start")
    if not found:
        return []
    seconds = {name: median(of_it) for name, of_it in found["seconds"].items()}
    rows = [
        ["Python alone", f"{seconds['python']:.2f} s"],
        ["Python and import caffe", f"{seconds['import caffe']:.2f} s"],
        [f"the net with its weights, {found['bytes'] / 1e6:.0f} MB", f"{found['load']:.2f} s"],
        ["tools/segment.py, from its start to the end: one image, one expression",
         f"{seconds['tools/segment.py']:.2f} s"],
    ]
    if "entry" in found:
        rows.insert(0, ["entering tools/caffe-env: from the host's Python to the one inside",
                        f"{found['entry']:.2f} s"])
    return ["## Start", "", *table(["step", "seconds"], rows), "",
            f"Peak memory of tools/segment.py: {found['memory'] / GIB:.2f} GiB."]


def _failures(results):
    failed = [f"- {name}: {result.get('failure', 'wrong results')}"
              for name, result in results.items() if not passed(result)]
    return ["## Failed", "", *failed] if failed else []
