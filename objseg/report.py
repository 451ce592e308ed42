"""The results of an evaluation: Table 1 on the terminal, results.json, samples.csv, report.html."""

import csv
import html
import importlib
import json
import platform
from string import Template

import numpy as np

from objseg.boxes import box_accuracy
from objseg.expressions import tokenize
from objseg.files import atomic_path, write_text
from objseg.images import read_image
from objseg.metrics import NAMES, bootstrap, by_length, summarize
from objseg.plots import data_uri, overlay, precision_curve, thumbnail

COLUMNS = tuple(name.replace("precision", "prec").replace("_iou", " IoU") for name in NAMES)
"""Headings of the metrics, as Table 1 writes them."""

BOX_COLUMN = "box@0.5"
"""Heading of the share of samples whose mask's bounding box has IoU >= 0.5 with the region's."""

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { margin: 0; background: #f4f5f7; color: #1d2129;
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 36px 0 10px; }
p { margin: 4px 0 10px; }
.note { color: #5d6570; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 10px; background: #fff0c9;
  color: #6e4e00; font-size: 13px; font-weight: 600; vertical-align: middle; margin-left: 8px; }
.panel { background: #fff; border: 1px solid #e2e5e9; border-radius: 8px; padding: 12px 16px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e9ebee; }
th { font-size: 13px; color: #5d6570; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
td small { display: block; color: #7a828d; font-size: 12px; }
tr.paper td { color: #7a828d; }
tr.paper td:first-child { padding-left: 26px; }
svg { max-width: 100%; height: auto; display: block; margin: 0 auto; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(235px, 1fr)); gap: 14px; }
figure { margin: 0; background: #fff; border: 1px solid #e2e5e9; border-radius: 8px;
  overflow: hidden; }
figure img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #23272e;
  display: block; }
figcaption { padding: 8px 12px 10px; overflow-wrap: anywhere; }
figcaption small { display: block; color: #7a828d; font-size: 12px; }
.key { display: inline-block; width: 22px; height: 11px; border-radius: 2px; margin: 0 4px 0 10px; }
.prediction { background: #ee8f8f; border: 1px solid #eb3c3c; }
.truth { background: #fff; border: 2px solid #1e1e1e; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 0;
  font-size: 13px; }
dt { color: #5d6570; }
dd { margin: 0; overflow-wrap: anywhere; }
</style>
<main>
<h1>$title$badge</h1>
<p class="note">$summary</p>
<h2>Results</h2>
<div class="panel">$table</div>
<p class="note">Small figures: 95 % bootstrap intervals over images.$paper_note</p>
<h2>Precision over the IoU threshold</h2>
<div class="panel">$curve</div>
<h2>By length of the expression</h2>
<div class="panel">$lengths</div>
$gallery
<h2>What was run</h2>
<div class="panel"><dl>$facts</dl></div>
</main>
</html>
""")


def results(dataset, split, evaluations, unreadable, command):
    """Everything that was measured, as one dict of plain values; fractions are in [0, 1].

    ``evaluations`` is a list of :class:`objseg.evaluation.Evaluation`, ``unreadable`` {image id:
    message}. The paper's figures, in percent, are there only for what the paper measured: the test
    split of ReferIt.
    """
    measured_by_paper = dataset.name == "referit" and split == "test"
    methods = []
    for evaluation in evaluations:
        measured = evaluation.intersections, evaluation.unions
        configuration = evaluation.configuration
        methods.append({
            "method": evaluation.method.name,
            "title": evaluation.method.title,
            "metrics": summarize(*measured),
            "box_accuracy": box_accuracy(
                evaluation.boxes, [sample.region.box for sample in evaluation.samples]
            ),
            "intervals": bootstrap(*measured, [s.image.id for s in evaluation.samples]),
            "by_length": dict(by_length(
                *measured, [len(tokenize(s.expression)) for s in evaluation.samples]
            )),
            "scored": len(evaluation.samples),
            "skipped": evaluation.skipped,
            "paper": list(evaluation.method.paper) if measured_by_paper else None,
            "weights": str(configuration.weights) if configuration.weights else None,
            "identity": evaluation.identity,
        })
    return {
        "data": dataset.name,
        "directory": str(dataset.directory),
        "split": split,
        "synthetic": dataset.name == "demo",
        "unreadable": dict(unreadable),
        "methods": methods,
        "command": command,
        "versions": versions(),
    }


def versions():
    """Versions of what computes the numbers, as {name: version}; "absent" where not installed."""
    found = {"python": platform.python_version()}
    for name, module in (("numpy", "numpy"), ("opencv", "cv2"), ("caffe", "caffe")):
        try:
            found[name] = importlib.import_module(module).__version__
        except ImportError:
            found[name] = "absent"
    return found


def terminal_table(outcome):
    """Table 1's form as lines of text, the paper's row under ours where it applies."""
    rows = [["method", *COLUMNS, BOX_COLUMN]]
    for method in outcome["methods"]:
        figures = [method["metrics"][name] for name in NAMES] + [method["box_accuracy"]]
        rows.append([method["title"], *map(percent, figures)])
        if method["paper"]:
            rows.append(["  paper", *(f"{value:.2f}%" for value in method["paper"]), "", ""])
    width = max(len(row[0]) for row in rows)
    lines = [
        (f"{row[0]:<{width}}" + "".join(f"{cell:>13}" for cell in row[1:])).rstrip()
        for row in rows
    ]
    return "\n".join([_summary(outcome), "", *lines])


def write(out, dataset, evaluations, outcome, pictures):
    """Write results.json, samples.csv and report.html into the folder ``out``.

    ``outcome`` is what :func:`results` returns, ``pictures`` what :func:`draw` does.
    """
    write_text(out / "results.json", json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    with atomic_path(out / "samples.csv") as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["method", "image", "region", "expression", "intersection", "union", "iou",
                 "xmin", "ymin", "xmax", "ymax"]
            )
            for evaluation in evaluations:
                measured = zip(
                    evaluation.intersections, evaluation.unions, evaluation.ious, evaluation.boxes
                )
                writer.writerows(
                    (
                        evaluation.method.name, sample.image.id, sample.region.id,
                        sample.expression, intersection, union, f"{iou:.6f}", *box,
                    )
                    for sample, (intersection, union, iou, box) in zip(evaluation.samples, measured)
                )
    write_text(out / "report.html", page(outcome, evaluations, pictures))


def choose(evaluation, count=4):
    """Pick samples to show: {"Best": indices, "Median": ..., "Worst": ...}, ``count`` of each.

    No image is shown twice, and no expression twice in a row of the gallery. Samples of equal IoU
    are taken in a shuffled but fixed order, so that the worst, often many at 0, do not all come
    from the first images.
    """
    shuffled = np.random.RandomState(0).permutation(len(evaluation.samples))
    order = shuffled[np.argsort(evaluation.ious[shuffled], kind="stable")]
    middle = np.argsort(np.abs(np.arange(len(order)) - (len(order) - 1) / 2), kind="stable")
    shown, chosen = set(), {}
    for title, ranked in (("Best", order[::-1]), ("Worst", order), ("Median", order[middle])):
        chosen[title], said = [], set()
        for index in ranked:
            sample = evaluation.samples[index]
            if sample.image.id not in shown and sample.expression not in said:
                shown.add(sample.image.id)
                said.add(sample.expression)
                chosen[title].append(int(index))
            if len(chosen[title]) == count:
                break
    return {title: chosen[title] for title in ("Best", "Median", "Worst")}


def draw(dataset, evaluation, chosen, masks, side=480):
    """Draw the samples that :func:`choose` picked, given their predicted ``masks`` in that order.

    Returns {title: list of (image as data URI, Sample, IoU)}.
    """
    masks = iter(masks)
    pictures = {}
    for title, indices in chosen.items():
        pictures[title] = []
        for index in indices:
            sample = evaluation.samples[index]
            truth = dataset.masks(sample.image.id)[sample.region.id]
            image, small = thumbnail(read_image(sample.image.path), [next(masks), truth], side)
            uri = data_uri(overlay(image, *small))
            pictures[title].append((uri, sample, evaluation.ious[index]))
    return pictures


def page(outcome, evaluations, pictures):
    """The whole report.html as text; it needs no other file and no script."""
    split = f"{outcome['data']}, {outcome['split']} split"
    lines = [(evaluation.method.title, evaluation.ious) for evaluation in evaluations]
    points = [
        method["paper"][: len(NAMES) - 2] if method["paper"] else None
        for method in outcome["methods"]
    ]
    shows_paper = any(point is not None for point in points)
    return PAGE.substitute(
        title=html.escape(f"Segmentation from natural language expressions: {split}"),
        badge='<span class="badge">synthetic data</span>' if outcome["synthetic"] else "",
        summary=html.escape(_summary(outcome)),
        table=_results_table(outcome),
        paper_note=" The paper's rows are those of its Table 1." if shows_paper else "",
        curve=precision_curve(lines, points),
        lengths=_lengths_table(outcome),
        gallery=_gallery(evaluations[-1], pictures),
        facts=_facts(outcome),
    )


def percent(fraction):
    """A fraction in Table 1's form."""
    return f"{100 * fraction:.2f}%"


def _summary(outcome):
    scored = max(method["scored"] for method in outcome["methods"])
    skipped = max(method["skipped"] for method in outcome["methods"])
    kind = "synthetic data" if outcome["synthetic"] else "data"
    images = len(outcome["unreadable"])
    skips = (
        f"{skipped} samples skipped ({images} image{'s' * (images > 1)} unreadable)"
        if skipped else "none skipped"
    )
    return f"{kind} {outcome['data']}, split {outcome['split']}: {scored} samples scored, {skips}"


def _results_table(outcome):
    rows = ["".join(f"<th>{heading}" for heading in ("method", *COLUMNS, BOX_COLUMN))]
    for method in outcome["methods"]:
        cells = "".join(
            f"<td>{percent(method['metrics'][name])}<small>"
            f"{100 * low:.1f}–{100 * high:.1f}</small>"
            for name, (low, high) in method["intervals"].items()
        )
        cells += f"<td>{percent(method['box_accuracy'])}"
        rows.append(f"<td>{html.escape(method['title'])}{cells}")
        if method["paper"]:
            cells = "".join(f"<td>{value:.2f}%" for value in method["paper"])
            rows.append(f"<td>paper{cells}<td><td>")
    return _table(rows)


def _lengths_table(outcome):
    titles = "".join(
        f"<th>{html.escape(method['title'])}<br>prec@0.5<th><br>overall IoU"
        for method in outcome["methods"]
    )
    rows = [f"<th>words<th>samples{titles}"]
    for label, first in outcome["methods"][0]["by_length"].items():
        cells = "".join(
            f"<td>{percent(method['by_length'][label]['precision@0.5'])}"
            f"<td>{percent(method['by_length'][label]['overall_iou'])}"
            for method in outcome["methods"]
        )
        rows.append(f"<td>{label}<td>{first['samples']}{cells}")
    return _table(rows)


def _table(rows):
    return "<table>\n" + "\n".join(
        f'<tr class="paper">{row}' if row.startswith("<td>paper") else f"<tr>{row}" for row in rows
    ) + "\n</table>"


def _gallery(evaluation, pictures):
    parts = []
    for title, shown in pictures.items():
        parts.append(f"<h2>{title}: {html.escape(evaluation.method.title)}</h2>")
        if not parts[1:]:
            parts.append(
                '<p class="note"><span class="key prediction"></span>prediction'
                '<span class="key truth"></span>ground truth</p>'
            )
        figures = "".join(
            f'<figure><img src="{uri}" alt=""><figcaption>“{html.escape(sample.expression)}”'
            f"<small>IoU {iou:.2f} · region {html.escape(sample.region.id)}</small></figcaption>"
            "</figure>"
            for uri, sample, iou in shown
        )
        parts.append(f'<div class="gallery">{figures}</div>')
    return "\n".join(parts)


def _facts(outcome):
    facts = [("command", outcome["command"]), ("data", outcome["directory"])]
    facts.append(("data index", f"sha256 {outcome['methods'][0]['identity']['index']}"))
    for method in outcome["methods"]:
        if method["weights"]:
            facts.append((
                f"{method['method']} weights",
                f"{method['weights']}, sha256 {method['identity']['weights']}",
            ))
        if method["identity"]["compat_authors"]:
            facts.append((method["method"], "mapped to the image in the way of the authors' code"))
    facts += [(f"unreadable {image}", text) for image, text in outcome["unreadable"].items()]
    facts.append(("versions", ", ".join(f"{k} {v}" for k, v in outcome["versions"].items())))
    return "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts)
