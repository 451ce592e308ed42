"""The results of a benchmark as Markdown tables, which read well as they are."""

from statistics import median

from checks.gpu.text import passed
from checks.gpu.timing import EXPRESSIONS

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
    """List what is compared: [(name, seconds, with what, its seconds, ratio wanted or None)]."""
    rows, of = [], "evaluation, an expression"
    segmentation = _found(results, "evaluation")
    if segmentation:
        shared, alone = (median(segmentation[key]) for key in ("shared", "alone"))
        apart = "one at a time, as the authors"
        rows.append((f"{of}, trunk shared by {EXPRESSIONS}", shared, apart, alone, None))
        rows += [(f"{of}, trunk shared, {split}", seconds, apart, alone, 6)
                 for split, seconds in _splits(results, "cores", "evaluation").items()
                 if split != "1x1"]
    torch_alone = _found(results, "torch alone 1")
    if segmentation and torch_alone:
        other = median(torch_alone["seconds"])
        rows.append((f"{of}, trunk shared", shared, "PyTorch, one at a time", other, None))
        rows.append((f"{of}, one at a time", alone, "PyTorch, one at a time", other, None))
    for task, other, unit in (("evaluation", "shared", f"{of}, trunk shared"),
                              ("training", "train", "training, an image")):
        torch = _splits(results, "torch-cores", other)
        rows += [(f"{unit}, {split}", seconds, f"PyTorch, the same, {split}", torch[split], 1.2)
                 for split, seconds in _splits(results, "cores", task).items() if split in torch]
    splits = _splits(results, "cores", "training")
    for count, result in _of(results, "ranks").items():
        rows += [(f"training, an image, {count} processes over MPI", median(result["seconds"]),
                  f"one process, {split}", splits[split], None)
                 for split in ("1x1", f"1x{count}") if split in splits]
    opencv = _found(results, "opencv")
    if opencv:
        rows.append(("trunk alone, an image", median(opencv["caffe"]),
                     f"OpenCV {opencv['version']} dnn", median(opencv["opencv"]), None))
    return rows


def _splits(results, word, task):
    """Seconds of a ``task`` by the way in which the cores were shared out, such as 1x2."""
    return {name.split()[1]: median(result["seconds"]) for name, result in
            _of(results, word).items() if name.split()[0] == task}


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
        "the blobs (objseg/training/cost.py). im2col: its copies of the inputs.", "",
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
            rows.append([f"{unit}, {who}", split, f"{median(result['seconds']):.3f} s"])
    rows.sort(key=lambda row: row[0])
    notes = []
    for count, result in _of(results, "ranks").items():
        rows.append(["training, an image, Caffe over MPI", f"{count}x1",
                     f"{median(result['seconds']):.3f} s"])
        notes = [f"Over MPI, of {count} processes each sends {result['bytes'] / 1e6:.0f} MB in an "
                 "iteration; the others exchange no gradients."]
    return ["## Processes x BLAS threads", "", *table(
        ["what", "split", "seconds"], rows
    ), "", *notes] if rows else []


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
