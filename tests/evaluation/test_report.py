"""The report of an evaluation: numbers, conclusions, Table 2, the choice of pictures, the page."""

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from support.halves import EXPRESSIONS, evaluate_all, make_dataset
from support.raw_data import Raw

from objseg.data.dataset import About, Dataset, Image, Region, Sample
from objseg.data.join import join
from objseg.data.prepare import prepare
from objseg.evaluation.evaluate import Evaluation, Request
from objseg.evaluation.report.claims import BASELINES, CLAIMS, claims
from objseg.evaluation.report.gallery import (
    QUANTILES,
    at_quantiles,
    gallery,
    predict,
    several_expressions,
)
from objseg.evaluation.report.page import timing, write_page
from objseg.evaluation.report.results import results, write_results
from objseg.evaluation.report.text import terminal
from objseg.methods.table1 import METHODS
from objseg.metrics import NAMES, areas, iou, summarize
from objseg.plots import PREDICTION_BGR, overlay
from objseg.regions.boxes import box_mask

TIMING = {
    "data": "demo", "split": "test", "size": "slim", "device": "a <CPU>",
    "notes": ["synthetic images"], "samples": 1200, "threads": 2, "methods": [
        {"method": "highres", "title": "Ours & more", "paper": 0.325,
         "alone": {"median": 1.25, "low": 1.125, "high": 2.5},
         "shared": {"median": 0.0625, "low": 0.05, "high": 0.07}},
        {"method": "lowres", "title": "Ours (low resolution)", "paper": None,
         "alone": {"median": 1, "low": 1, "high": 1}, "shared": {"median": 1, "low": 1, "high": 1}},
    ],
}


@pytest.fixture
def dataset(tmp_path):
    """Four images of three regions with five expressions."""
    return make_dataset(tmp_path / "set", count=4, right=("right half",), referit=True)


@pytest.fixture
def stubs(monkeypatch):
    """Every method finds the columns at the left, more of them the later it stands in Table 1.

    Returns a list that grows by (model,) when a net is opened and by (model, image id, number of
    expressions) when it runs.
    """
    calls = []

    def opener(model):
        def open_net(configuration):
            calls.append((model,))

            def find(image, expressions, image_id):
                calls.append((model, image_id, len(expressions)))
                return ((expression, None) for expression in expressions)

            return find

        return open_net

    def drawer(name, columns):
        def draw(image, findings):
            for expression in findings:
                mask = np.zeros(image.shape[:2], bool)
                mask[:, :columns] = True
                odd = name.startswith("scrc") and expression == "sky"
                yield mask, "degenerate box" if odd else None

        return draw

    for n, (name, method) in enumerate(METHODS.items()):
        if method.model:
            stub = replace(method, open=opener(method.model), draw=drawer(name, 2 * n + 8))
            monkeypatch.setitem(METHODS, name, stub)
    return calls


def made_report(dataset, folder, names=METHODS, **asked):
    """Write the report of the stubs; returns (evaluations, outcome, page)."""
    by_pass = evaluate_all(dataset, folder, *names)
    evaluations = [evaluation for group in by_pass for evaluation in group]
    outcome = results(Request(dataset, **asked), evaluations, {}, "python tools/… 'a <b>'")
    write_results(folder, outcome, evaluations)
    write_page(folder, outcome, gallery(dataset, by_pass))
    return evaluations, outcome, (folder / "report.html").read_text(encoding="utf-8")


def test_files_hold_the_same_numbers_as_the_table(dataset, stubs, tmp_path):
    evaluations, outcome, _ = made_report(dataset, tmp_path, ("whole-image", "highres"))
    assert json.loads((tmp_path / "results.json").read_text()) == outcome
    with open(tmp_path / "samples.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    for method, result in zip(outcome["methods"], evaluations):
        mine = [row for row in rows if row["method"] == method["method"]]
        summary = summarize(*(
            [int(row[column]) for row in mine] for column in ("intersection", "union")
        ))
        assert summary == method["metrics"]
        assert [row["expression"] for row in mine] == [s.expression for s in result.samples]
    text = terminal(outcome)
    assert "split test: 20 samples scored" in text
    assert re.search(r"whole image +100\.00% +0\.00% .* 50\.00%", text)


def test_what_did_not_go_as_usual_is_said(dataset, stubs, tmp_path):
    _, outcome, page = made_report(dataset, tmp_path, ("scrc-bbox", "scrc-grabcut", "highres"))
    assert [method["tally"] for method in outcome["methods"]] == [{"degenerate box": 4}] * 2 + [{}]
    for text in (terminal(outcome), page):
        assert text.count("degenerate box 4") == 2
        assert "SCRC grabcut: degenerate box 4" in text


def test_papers_stand_beside_the_test_split_of_referit_only(dataset, stubs, tmp_path):
    _, outcome, page = made_report(dataset, tmp_path)
    text = terminal(outcome)
    assert re.search(r"\n  paper +5\.07% .* 15\.12%\n", text)
    assert re.search(r"\nSCRC bbox .*\n  paper +9\.73% .* 21\.72%\n", text)
    assert "<td>paper<td>9.73%" in page
    referit, drawn = dataset.about, About("drawn", "program")
    for about, asked in (
        (referit, {"split": "val"}), (referit, {"limit": 9}), (referit, {"size": "slim"}),
        (drawn, {}),
    ):
        dataset.about = about
        _, outcome, page = made_report(dataset, tmp_path, **asked)
        for method in outcome["methods"]:
            assert method["paper"] is None
        assert not re.search(r"\n  paper", terminal(outcome))
        assert "<td>paper" not in page
    for note in ("synthetic images", "expressions made by a program"):
        assert note in terminal(outcome) and f"{note}</span>" in page


def test_a_joined_set_is_reported_by_source_as_each_is_alone(tmp_path):
    for number, name in enumerate("ab"):
        raw = Raw(tmp_path / "raw" / name, name, 60 * number)
        mask = np.zeros((6, 8), bool)
        mask[:3 + 2 * number] = True  # the sources' scores differ
        raw.mask(f"{name}4_1", mask)
        prepare(raw.folder, tmp_path / name, workers=1)
    join([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    reported = {}
    for name in ("a", "b", "ab"):
        dataset = Dataset(tmp_path / name)
        _, reported[name], page = made_report(dataset, tmp_path / "out" / name, ("whole-image",))
    assert not reported["a"]["sources"]
    parts = reported["ab"]["sources"]
    assert [part["data"] for part in parts] == ["a", "b"]
    assert sum(part["samples"] for part in parts) == reported["ab"]["samples"]
    for part in parts:
        alone = reported[part["data"]]
        assert part["samples"] == alone["samples"] > 0
        for key in ("metrics", "intervals"):
            assert part["methods"][0][key] == alone["methods"][0][key]
        assert f"from {part['data']}: {part['samples']} samples" in page
    text = terminal(reported["ab"])
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("whole image")] == \
        [f"{reported[name]['methods'][0]['metrics']['mean_iou']:.2%}" for name in ("ab", "a", "b")]


def outcome_of(figures):
    """Return the part of results() that claims() reads, from {method: metrics}."""
    return {"methods": [
        {"method": name, "title": METHODS[name].title, "metrics": metrics}
        for name, metrics in figures.items()
    ]}


def test_the_papers_own_figures_bear_out_its_conclusions():
    names = [name for name in NAMES if name != "mean_iou"]
    paper = {
        name: {metric: value / 100 for metric, value in zip(names, method.paper)}
        for name, method in METHODS.items()
    }
    checked = claims(outcome_of(paper))
    assert len(checked) == len(CLAIMS)
    assert all(holds for _, holds, _ in checked)
    assert checked[0][2] == "48.03% against 45.57%"
    assert (
        "Ours (low resolution) has a higher overall IoU than each of 8 baselines", True,
        "45.57% against 27.23% (per-word average)",
    ) in checked
    upside_down = {
        name: {metric: -value for metric, value in metrics.items()}
        for name, metrics in paper.items()
    }
    assert not any(holds for _, holds, _ in claims(outcome_of(upside_down)))
    equal = {name: paper["lowres"] for name in METHODS}
    assert not any(holds for _, holds, _ in claims(outcome_of(equal)))


def test_claims_are_about_evaluated_rows():
    random = np.random.RandomState(0)
    for _ in range(30):
        figures = {
            name: dict(zip(NAMES, random.rand(len(NAMES))))
            for name in METHODS if random.rand() < 0.5
        }
        overall = {name: metrics["overall_iou"] for name, metrics in figures.items()}
        baselines = set(figures) & set(BASELINES)
        found = {claim: holds for claim, holds, _ in claims(outcome_of(figures))}
        said = [claim for claim in found if claim.startswith("Ours (low resolution)")]
        if "lowres" in figures and baselines:
            best = max(overall[name] for name in baselines)
            assert [found[claim] for claim in said] == [overall["lowres"] > best]
        else:
            assert said == []
        titles = {METHODS[name].title for name in METHODS} - {METHODS[n].title for n in figures}
        assert not any(title in claim for title in titles for claim in found)
        assert not any("whole image" in claim for claim in found)


def test_conclusions_are_on_the_terminal_and_the_page(dataset, stubs, tmp_path):
    _, outcome, page = made_report(dataset, tmp_path)
    text = terminal(outcome)
    for claim, holds, figures in claims(outcome):
        word = "holds" if holds else "does not hold"
        assert re.search(rf"\n  {word} +{re.escape(claim)}: {re.escape(figures)}", text)
        assert f"<td>{claim}<td>{word}<td>{figures}" in page
    _, outcome, page = made_report(dataset, tmp_path, ("whole-image", "highres"))
    assert "concludes" not in terminal(outcome) + page


def test_table_2_shows_what_was_timed(dataset, stubs, tmp_path):
    _, _, without = made_report(dataset, tmp_path, ("highres",))
    assert "Table 2" not in without
    (tmp_path / "timing.json").write_text(json.dumps(TIMING))
    _, _, page = made_report(dataset, tmp_path, ("highres",))
    assert re.search(
        r"Ours &amp; more +1.250 \[1.125, 2.500\] +0.062 \[0.050, 0.070\] +0.325\n", page
    )
    assert re.search(r"Ours .low resolution. +1.000 .* +1.000 \[1.000, 1.000\]", page)
    assert "demo (synthetic images), split test, size slim: 1200 images, each with one" in page
    assert "\na &lt;CPU&gt;, BLAS threads: 2" in page


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "{}", '{"methods": 3}', json.dumps({**TIMING, "methods": [{}]}),
    json.dumps(TIMING).replace('"median": 1.25', '"median": null'),
    "\xff",
])
def test_broken_timing_is_left_out_with_a_note(tmp_path, text):
    (tmp_path / "timing.json").write_text(text, encoding="latin-1")
    assert timing(tmp_path / "timing.json").startswith("timing.json was left out")


def test_page_with_broken_timing_is_whole(dataset, stubs, tmp_path):
    (tmp_path / "timing.json").write_text("{")
    _, _, page = made_report(dataset, tmp_path, ("highres",))
    assert "timing.json was left out" in page and "</html>" in page


def measured(ious, expressions=None, per_image=1):
    """An Evaluation with these IoUs in thousandths, a region a sample."""
    samples = []
    for n in range(len(ious)):
        image = Image(f"{n // per_image}", None, 9, 9, ())
        text = expressions[n] if expressions else f"thing {n}"
        samples.append(Sample(image, Region(f"{n // per_image}_{n}", (0, 0, 1, 1), (text,)), text))
    ious = np.asarray(ious, np.int64)
    return Evaluation(METHODS["highres"], None, None, {}, samples, ious, np.full_like(ious, 1000),
                      None, Counter())


def test_no_image_and_no_expression_is_compared_twice():
    random = np.random.RandomState(1)
    words = [f"w{n}" for n in random.randint(0, 12, 60)]
    evaluation = measured(random.randint(0, 1000, 60), words, per_image=4)
    samples = [evaluation.samples[index] for index in at_quantiles(evaluation)]
    assert len({sample.image.id for sample in samples}) == len(samples) > 3
    assert len({sample.expression for sample in samples}) == len(samples)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 100, 997])
def test_methods_are_compared_on_samples_spread_over_the_iou(count):
    ious = np.random.RandomState(2).permutation(count)
    found = ious[at_quantiles(measured(ious))]
    assert len(set(found)) == len(found) == min(count, len(QUANTILES))
    if count > 50:
        np.testing.assert_allclose(found, QUANTILES * (count - 1), atol=0.5)
        assert found[0] < count / 6 and found[-1] > 5 * count / 6


def test_images_of_several_expressions(dataset):
    samples = dataset.samples("test")
    rows = several_expressions(samples)
    assert len(rows) == 2 and rows == several_expressions(samples)
    rows = [[samples[index] for index in row] for row in rows]
    assert rows[0][0].image.id != rows[1][0].image.id
    for row in rows:
        assert [sample.region.id[-1] for sample in row] == ["1", "2", "3"]
        assert [sample.expression for sample in row] == [EXPRESSIONS[0], "!!", "right half"]
        assert len({sample.image.id for sample in row}) == 1
    two = [sample for sample in samples if not sample.region.id.endswith("3")]
    assert several_expressions(two) == []
    crowd = measured([0] * 9, per_image=9)
    assert [len(row) for row in several_expressions(crowd.samples)] == [4]
    same = measured([0] * 9, ["sky"] * 9, per_image=9)
    assert several_expressions(same.samples) == []


def test_masks_of_pictures_are_those_scored_and_share_a_pass(dataset, stubs, tmp_path):
    ((evaluation,),) = evaluate_all(dataset, tmp_path, "scrc-grabcut")
    indices = [2, 3, 4, 6, 5]  # three of one image, two of the next
    del stubs[:]
    masks = predict(dataset, evaluation, indices)
    assert stubs == [("scrc",), ("scrc", "0", 3), ("scrc", "1", 2)]
    for index in indices:
        sample = evaluation.samples[index]
        found = iou(*areas(masks[index], dataset.masks(sample.image)[sample.region.id]))
        assert found == evaluation.ious[index]


def test_comparison_has_a_picture_for_a_model(dataset, stubs, tmp_path):
    by_pass = evaluate_all(dataset, tmp_path, *METHODS)
    side_by_side = gallery(dataset, by_pass)[0]
    assert side_by_side.title == "From worst to best"
    ious = {evaluation.method.name: evaluation.ious for group in by_pass for evaluation in group}
    compared = at_quantiles(by_pass[-1][-1])
    assert len(side_by_side.rows) == len(compared) > 2
    for (heading, pictures), index in zip(side_by_side.rows, compared):
        assert heading == f"“{by_pass[-1][-1].samples[index].expression}”"
        assert [picture.text for picture in pictures] == [
            "true region", "per-word average", "SCRC grabcut", "GroundeR grabcut",
            "MCG classification",
            "Ours (low resolution)", "Ours (high resolution)",
        ]
        mine = {name: found[index] for name, found in ious.items()}
        assert pictures[2].note == f"IoU {mine['scrc-grabcut']:.2f}"
        assert pictures[6].note == f"IoU {mine['highres']:.2f}"


def test_the_overlay_of_a_true_region_changes_its_border_alone():
    image = np.random.RandomState(3).randint(0, 256, (80, 100, 3)).astype(np.uint8)
    region = box_mask((30, 20, 79, 59), 80, 100)
    drawn = overlay(image, truth=region)
    assert drawn[20, 30:80].min() > 200
    for untouched in (np.s_[25:55, 35:75], np.s_[:15], np.s_[:, 85:]):
        np.testing.assert_array_equal(drawn[untouched], image[untouched])
    np.testing.assert_array_equal(overlay(image), image)


@pytest.mark.parametrize("colour", [
    *PREDICTION_BGR, (0, 0, 255), (30, 60, 120), (255, 255, 255), (0, 0, 0), (60, 160, 60),
    (200, 120, 30),
])
def test_a_mask_is_seen_on_any_colour(colour):
    image = np.full((60, 80, 3), colour, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    drawn = overlay(image, mask).astype(int)
    np.testing.assert_array_equal(drawn[:10], image[:10])
    assert np.abs(drawn[25:35, 25:55] - image[25:35, 25:55]).sum(axis=2).min() > 100
    # Its outline is seen between any tint and any picture: the two lines differ in lightness.
    border = drawn[15:24, 40].sum(axis=1)
    assert np.ptp(border) > 200


class Tags(HTMLParser):
    """Collects tags and addresses, and checks that what is opened is closed."""

    open_ended = {"meta", "img", "br", "html", "p", "th", "td", "tr"}

    def __init__(self):
        super().__init__()
        self.stack, self.seen, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        if tag not in self.open_ended:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.open_ended:
            assert self.stack.pop() == tag


@pytest.mark.parametrize("names", [METHODS, ("highres",), ("whole-image",)])
def test_page_is_sound_and_needs_nothing_else(dataset, stubs, tmp_path, names):
    (tmp_path / "timing.json").write_text(json.dumps(TIMING))
    _, _, page = made_report(dataset, tmp_path, names)
    tags = Tags()
    tags.feed(page)
    assert tags.stack == []
    assert tags.seen.count("img") == tags.seen.count("figure") >= 8
    assert "From worst to best" in page
    assert not {"script", "link", "b", "iframe"} & set(tags.seen)
    assert all(re.match(r"data:image/jpeg;base64,|#", address) for address in tags.addresses)
    assert "the &lt;b&gt;top&lt;/b&gt; &amp; more" in page
    assert "a &lt;b&gt;" in page
    assert not re.search(r"\{\{|\{%", page)
    for metric in ("prec@X", "overall IoU", "mean IoU"):
        assert f"<dt>{metric}</dt><dd>" in page
