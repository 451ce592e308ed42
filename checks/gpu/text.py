"""The results of a check as text to read."""

from statistics import median

from checks.gpu.comparison import greatest
from objseg.methods.table1 import METHODS

K40 = METHODS["highres"].seconds
"""Seconds an expression in the paper's Table 2, on a Tesla K40, alone."""


def report(results, rehearsal, size="paper", missing=()):
    """Lines that say what was found.

    ``results`` is {part: its dictionary, or {"failure": text} if it did not end well}. The nets
    that were timed are of ``size``; layers of the types ``missing`` were not compared.
    """
    sections = (_machine, _correctness, lambda _: _missing(missing), _training,
                lambda r: _segmentation(r, size), _torch, _failures)
    lines = []
    if rehearsal:
        lines += ["REHEARSAL: the CPU stood in the GPU's place. This shows that the check itself "
                  "works, and nothing of a GPU.", ""]
    for section in sections:
        part = section(results)
        lines += [*part, ""] if part else []
    return lines[:-1]


def passed(result):
    """Whether a part ran to its end and found nothing wrong."""
    return "failure" not in result and result["passed"]


def _of(results, function):
    """The finished parts of a function as (rest of the name, result)."""
    for name, result in results.items():
        word, _, rest = name.partition(" ")
        if word == function and "failure" not in result:
            yield rest, result


def _machine(results):
    for _, result in _of(results, "machine"):
        return ["MACHINE", *(f"  {name:26}{text}" for name, text in result["facts"].items())]
    return []


def _correctness(results):
    compared = list(_of(results, "net"))
    lines = ["CORRECTNESS, against the CPU, equal random weights and inputs"] if compared else []
    for arithmetic in sorted({result["arithmetic"] for _, result in compared}, reverse=True):
        of_it = [(n, r) for n, r in compared if r["arithmetic"] == arithmetic]
        limits = of_it[0][1]["limits"]
        lines += [
            "",
            f"  {arithmetic}, layer by layer: greatest difference / greatest magnitude of the "
            f"array, at most {limits['layer']:g}",
            f"  {'layer type':28}{'forward':>12}{'backward':>12}",
        ]
        worst = {}
        for _, result in of_it:
            for kind, errors in result["layers"].items():
                for direction, error in errors.items():
                    worst.setdefault(kind, {}).setdefault(direction, []).append(error)
        for kind, errors in sorted(worst.items()):
            figures = [f"{greatest(errors[d]):.1e}" if d in errors else "-"
                       for d in ("forward", "backward")]
            lines.append(f"  {kind:28}{figures[0]:>12}{figures[1]:>12}")
        lines += [
            "",
            f"  {arithmetic}, whole nets: length of the difference / length of the array, at most "
            f"{limits['values']:g} forward, {limits['gradients']:g} backward",
            f"  {'net':28}{'forward':>12}{'backward':>12}",
        ]
        for name, result in of_it:
            figures = []
            for direction in ("forward", "backward"):
                errors = [e[direction] for e in result["whole"].values() if direction in e]
                figures.append(f"{greatest(errors):.1e}" if errors else "-")
            lines.append(
                f"  {name:28}{figures[0]:>12}{figures[1]:>12}  {_verdict(result)}"
            )
    for _, result in _of(results, "solvers"):
        lines += ["", f"  three steps of the solvers, at most {result['limit']:g}:  " + "  ".join(
            f"{kind} {error:.1e}" for kind, error in result["solvers"].items()
        ) + f"  {_verdict(result)}"]
    for _, result in _of(results, "agreement"):
        lines += ["", f"  Caffe against PyTorch {result['torch']} on the CPU, score and every "
                  f"gradient of the slim net: at most {result['error']:.1e} ({result['worst']}), "
                  f"limit {result['limit']:g}  {_verdict(result)}"]
    return lines


def _missing(types):
    return [f"NOT COMPARED: layers of type {', '.join(types)}"] if types else []


def _verdict(result):
    return "ok" if result["passed"] else "FAILED"


def _training(results):
    rows = []
    torch = {rest: median(r["seconds"]) for rest, r in _of(results, "torch")}
    bus, its_seconds = {}, 0
    for rest, result in _of(results, "training"):
        stage, count, *_ = rest.split()
        seconds, operations = median(result["seconds"]), sum(result["operations"])
        same = torch.get(f"train {rest.partition(' ')[2]}") if stage == "highres" else None
        rows.append(
            f"  {stage:9}{count:>7}  {result['arithmetic']:9}{seconds:9.4f} s"
            f"{100 * sum(result['data_seconds']) / sum(result['seconds']):8.1f} %"
            f"{operations / 1e12:9.3f}{operations / seconds / 1e12:9.3f}"
            f"{result['memory'] / 2**30:9.2f}{result['memory_expected'] / 2**30:9.2f}"
            + (f"{same:9.4f} s{same / seconds:7.2f}" if same else f"{'-':>11}{'-':>7}")
        )
        first = f"{result['losses'][0]:.6g}"
        if "loss_on_the_cpu" in result:
            first += f" (on the CPU {result['loss_on_the_cpu']:.6g})"
        rows.append(f"{'':11}loss {first} to {result['losses'][-1]:.6g}  {_verdict(result)}")
        if sum(result["bus_bytes"].values()) > sum(bus.values()):
            bus, its_seconds = result["bus_bytes"], seconds
    if not rows:
        return []
    total = sum(bus.values())
    share = ""
    for _, machine in _of(results, "machine"):
        if machine["bus_speed"]:
            takes = total / min(machine["bus_speed"])
            share = (f" = {1e3 * takes:.2f} ms at the bus's speed, "
                     f"{100 * takes / its_seconds:.1f} % of it")
    return [
        "TRAINING, real data layer, median of an iteration (the first one left out)",
        f"  {'net':9}{'images':>7}  {'':9}{'iteration':>11}{'data':>10}{'TFLOP':>9}{'TFLOP/s':>9}"
        f"{'GiB':>9}{'expected':>9}{'PyTorch':>11}{'ratio':>7}",
        *rows,
        "  data: share of the time spent in the data layer, which waits for its workers and copies "
        "their batch. TFLOP: objseg/training/cost.py.",
        "  GiB: what the process holds at the end, which is its peak (on a GPU: cuMemGetInfo, "
        "without CUDA's context; in a rehearsal:",
        "  resident set); expected without workspaces. ratio: PyTorch's time / Caffe's.",
        f"  across the bus for the Python layers, in the iteration that moves most: "
        f"{total / 1e6:.2f} MB{share}",
        "    " + ", ".join(f"{name} {moved / 1e6:.2f} MB" for name, moved in bus.items()),
    ]


def _segmentation(results, size):
    torch = dict(_of(results, "torch"))
    lines = []
    for _, result in _of(results, "segmentation"):
        count = result["expressions"]
        for name, share, key in (("alone", 1, "alone 1"), ("shared", count, "shared 1")):
            seconds = median(result[name])
            line = f"  {result['arithmetic']:9}{name:8}{seconds:9.4f} s an expression"
            if name == "alone":
                if size == "paper":
                    line += f", {seconds / K40:.3f} of the paper's {K40} s on a K40"
                line += f", {result['operations'] / seconds / 1e12:.3f} TFLOP/s"
            if key in torch and torch[key]["arithmetic"] == result["arithmetic"]:
                same = median(torch[key]["seconds"]) / share
                line += f"; PyTorch {same:.4f} s, ratio {same / seconds:.2f}"
            lines.append(line)
        lines.append(
            f"{'':11}scores differ from the CPU's by {result['error']:.1e}, at most "
            f"{result['limit']:g}  {_verdict(result)}"
        )
    if lines:
        lines.insert(0, "SEGMENTATION, high resolution; alone: a trunk pass an expression, shared: "
                        f"one for {count}")
    return lines


def _torch(results):
    for _, result in _of(results, "torch"):
        return [f"PyTorch is {result['torch']}, with cuDNN's benchmark mode, the same widths, "
                "batch and arithmetic, random inputs on the device."]
    return []


def _failures(results):
    lines = []
    for name, result in results.items():
        if "failure" in result:
            lines.append(f"  {name}: did not run: {result['failure']}")
        elif not result["passed"]:
            lines.append(f"  {name}")
            for difference in [*result.get("failed", ()), *result.get("failed_whole", ())][:10]:
                lines.append(
                    "    {layer} ({type}) {direction}, {array}: greatest {greatest:.1e}, "
                    "length {length:.1e}".format(**difference)
                )
    return ["FAILED", *lines] if lines else ["All parts passed."]
