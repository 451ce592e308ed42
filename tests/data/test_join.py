import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.commands import run_tool
from support.raw_data import Raw

from objseg.data.about import About
from objseg.data.dataset import Dataset, DatasetError
from objseg.data.expressions import SPECIALS, Vocabulary
from objseg.data.join import join
from objseg.data.packing import PrepareError
from objseg.data.prepare import prepare
from objseg.data.splits import named_splits
from objseg.files import REPOSITORY


@pytest.fixture
def sources(tmp_path):
    """Three small prepared data sets of different pictures: {name: raw data}."""
    raws = {name: Raw(tmp_path / "raw" / name, name, 60 * number)
            for number, name in enumerate("abc")}
    for name, raw in raws.items():
        prepare(raw.folder, tmp_path / name, workers=1)
    return raws


@pytest.fixture
def joined(sources, tmp_path):
    join([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    return tmp_path / "ab"


def content(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.rglob("*") if path.is_file()}


def test_a_joined_set_holds_what_its_sources_hold(joined, tmp_path):
    parts = [Dataset(tmp_path / name) for name in "ab"]
    dataset = Dataset(joined)
    for split in named_splits(()):
        images = dataset.images(split)
        if split != "trainval":  # which is train, then val
            assert [sample[1:] for sample in dataset.samples(split)] == \
                [sample[1:] for part in parts for sample in part.samples(split)]
        assert {image.id for image in images} == \
            {image.id for part in parts for image in part.images(split)}
    for part in parts:
        for image in part.all_images():
            (twin,) = [other for other in dataset.all_images() if other.id == image.id]
            assert twin.source == part.name and image.source == ""
            pixels, masks = dataset.pixels_and_masks(twin)
            np.testing.assert_array_equal(pixels, part.pixels(image))
            np.testing.assert_equal(masks, part.masks(image))


def test_the_words_are_those_of_all_trainval_expressions(joined, tmp_path):
    words = [sample.expression for name in "ab"
             for sample in Dataset(tmp_path / name).samples("trainval")]
    assert Dataset(joined).vocabulary.words == Vocabulary.build(words).words
    assert "on" in Dataset(joined).vocabulary and "on" not in Dataset(tmp_path / "a").vocabulary
    given = Vocabulary([*SPECIALS, "sky"])
    join([tmp_path / "a", tmp_path / "b"], joined, given)
    assert Dataset(joined).vocabulary.words == given.words


def test_joining_in_two_steps_is_joining_at_once(joined, tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    join([joined, c], tmp_path / "steps")
    join([a, b, c], tmp_path / "once")
    steps, once = Dataset(tmp_path / "steps"), Dataset(tmp_path / "once")
    assert steps.identity == once.identity and steps.sources == once.sources
    assert {image.source for image in once.all_images()} == {"a", "b", "c"}
    shutil.rmtree(joined)  # the sources alone are needed
    steps.pixels_and_masks(steps.images("test")[1])


def test_the_identity_is_that_of_the_content_of_every_source(sources, joined, tmp_path):
    first = Dataset(joined).identity
    join([tmp_path / "b", tmp_path / "a"], tmp_path / "ba")
    sources["b"].image("b4.jpg", np.zeros((6, 8, 3), np.uint8))
    prepare(sources["b"].folder, tmp_path / "b", workers=1)
    assert Dataset(joined).identity == first
    join([tmp_path / "a", tmp_path / "b"], joined)
    assert len({first, Dataset(joined).identity, Dataset(tmp_path / "ba").identity}) == 3


def test_no_picture_and_no_mask_is_copied_and_nothing_written_twice(joined, tmp_path):
    before = content(joined)
    assert set(before) == {"index.json", "vocabulary.txt", "summary.txt"}
    join([tmp_path / "a", tmp_path / "b"], joined)
    assert content(joined) == before


def test_a_plain_set_can_be_prepared_where_a_joined_one_was(sources, joined):
    prepare(sources["c"].folder, joined, workers=1)
    dataset = Dataset(joined)
    dataset.pixels_and_masks(dataset.images("test")[0])
    assert list(dataset.sources) == [""]


def test_a_joined_set_moves_with_the_checkout(sources, tmp_path, monkeypatch):
    from objseg.data import prepare as module
    monkeypatch.setattr(module, "REPOSITORY", tmp_path / "checkout")
    for name in "ab":
        folder = tmp_path / "checkout" / "raw" / name
        shutil.copytree(sources[name].folder, folder)
        prepare(folder, tmp_path / "checkout" / name, workers=1)
    join([tmp_path / "checkout" / name for name in "ab"], tmp_path / "checkout" / "ab")
    (tmp_path / "checkout").rename(tmp_path / "moved")
    dataset = Dataset(tmp_path / "moved" / "ab")
    for image in dataset.all_images():
        dataset.pixels_and_masks(image)


def test_facts_that_differ_are_each_named(sources, tmp_path):
    facts = {"a": '{"images": "photographs", "expressions": "program"}',
             "b": '{"images": "drawn", "expressions": "program"}'}
    for name, text in facts.items():
        (sources[name].folder / "about.json").write_text(text)
        prepare(sources[name].folder, tmp_path / name, workers=1)

    def about(*names):
        join([tmp_path / name for name in names], tmp_path / "-".join(names))
        return Dataset(tmp_path / "-".join(names)).about

    assert about("a", "b") == About("photographs and drawn", "program")
    assert about("a", "b").notes == ("some images synthetic", "expressions made by a program")
    assert about("a-b", "c") == About("photographs and drawn and unknown", "program and unknown")
    prepare(sources["a"].folder, tmp_path / "like a", workers=1)
    assert Dataset(tmp_path / "like a").about.notes == ("expressions made by a program",)


@pytest.mark.parametrize("names, message", [
    (["a"], "at least two"),
    (["a", "a"], "two sources are called a"),
    (["ab", "a"], "two sources are called a: .*/a and .*/a; name each once"),
    (["a", "twin"], r"image a2 is in a and in twin \(4 images are\)"),
    (["a", "bare"], "one has images and masks, the other .*--annotations-only"),
    (["a", "none"], "none/index.json: does not exist"),
])
def test_sets_that_do_not_fit_are_named(sources, joined, tmp_path, names, message):
    prepare(sources["a"].folder, tmp_path / "twin", workers=1)
    sources["c"].json("imsize", {f"c{n}.jpg": [8, 6] for n in "1234"})
    sources["c"].json("bbox", {"c4_1": [0, 0, 1, 1]})
    prepare(sources["c"].folder, tmp_path / "bare", annotations_only=True)
    with pytest.raises((PrepareError, DatasetError), match=message):
        join([tmp_path / name for name in names], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_is_not_replaced_even_when_asked(joined, tmp_path):
    before = content(tmp_path / "a")
    with pytest.raises(PrepareError, match="a: is one of the sources"):
        join([joined, tmp_path / "c"], tmp_path / "a", overwrite=True)
    assert content(tmp_path / "a") == before


def test_annotations_alone_are_joined(sources, tmp_path):
    for name in "ab":
        sources[name].json("imsize", {f"{name}{n}.jpg": [8, 6] for n in "1234"})
        sources[name].json("bbox", {f"{name}4_1": [0, 0, 1, 1]})
        prepare(sources[name].folder, tmp_path / name, annotations_only=True)
    index = join([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    dataset = Dataset(tmp_path / "ab")
    assert dataset.annotations_only and index["summary"]["annotations only"]
    assert len(dataset.samples("test")) == 2 and dataset.images("test")[1].source == "b"
    assert index["summary"]["notes"]["no box in referit_bbox.json"] == 10


@pytest.mark.parametrize("other", ["a data set", "another join", "notes", "a broken index"])
def test_another_content_is_replaced_only_when_asked(sources, joined, tmp_path, other):
    out = tmp_path / "out"
    if other == "a data set":
        prepare(sources["c"].folder, out, workers=1)
    elif other == "another join":
        join([tmp_path / "a", tmp_path / "c"], out)
    else:
        out.mkdir()
        (out / ("notes.txt" if other == "notes" else "index.json")).write_text("precious")
    before = content(out)
    with pytest.raises(PrepareError, match="out: holds something other than .*--overwrite"):
        join([tmp_path / "a", tmp_path / "b"], out)
    assert content(out) == before
    join([tmp_path / "a", tmp_path / "b"], out, overwrite=True)
    assert Dataset(out).identity == Dataset(joined).identity
    assert not list(out.glob("masks/*")) and (out / "notes.txt").exists() == (other == "notes")


def test_a_picture_that_two_splits_hold_is_counted(sources, tmp_path):
    shutil.copy(sources["a"].folder / "images/a1.jpg", sources["b"].folder / "images/b4.jpg")
    prepare(sources["b"].folder, tmp_path / "b", workers=1)
    for folders, name in ((["a", "b"], "ab"), (["ab", "c"], "abc")):
        index = join([tmp_path / folder for folder in folders], tmp_path / name)
        assert index["summary"]["notes"] == {"picture in more than one split": 1}
    assert "picture in more than one split: 1\n" in (tmp_path / "ab/summary.txt").read_text()


@pytest.mark.parametrize("change", ["picture", "masks", "picture gone"])
def test_a_source_that_changed_is_refused_by_name_until_the_advice_is_followed(
    sources, joined, tmp_path, change
):
    raw = sources["b"]
    mask = np.ones((6, 8), bool)
    if change == "masks":
        raw.mask("b4_1", mask)
        prepare(raw.folder, tmp_path / "b", workers=1)
    elif change == "picture":
        raw.image("b4.jpg", np.zeros((6, 8, 3), np.uint8))
    else:
        shutil.rmtree(tmp_path / "b" / "masks")
    dataset = Dataset(joined)
    for image in dataset.images("test")[:1]:  # of the other source
        dataset.pixels_and_masks(image)
    with pytest.raises(DatasetError, match=f"{tmp_path}/.*b/.*b4[.]") as caught:
        dataset.pixels_and_masks(dataset.images("test")[1])
    commands = str(caught.value).split(": ")[-1].split(" && ")
    assert len(commands) == 3
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "python"
        subprocess.run([sys.executable, *words], cwd=REPOSITORY, check=True, timeout=60)
    dataset = Dataset(joined)
    _, masks = dataset.pixels_and_masks(dataset.images("test")[1])
    assert masks["b4_1"].all() == (change == "masks")


def test_the_tool_joins_prints_and_fails_clearly(sources, tmp_path):
    words = tmp_path / "words.txt"
    Vocabulary([*SPECIALS, "tree"]).save(words)
    command = ["tools/join_datasets.py", "--data", tmp_path / "a", "--data", tmp_path / "b",
               "--out", tmp_path / "o\udcfct"]
    done = run_tool(*map(os.fspath, command), "--vocabulary", words,
                    errors="surrogateescape")
    assert "trainval           6        10           12" in done.stdout
    assert "expressions from a and b" in done.stdout
    assert len(Dataset(tmp_path / "o\udcfct").vocabulary) == 5
    for mistake in ("--data",), ("--data", tmp_path / "a"), ("--vocabulary", "none.txt"):
        done = run_tool(*map(os.fspath, command), *mistake, check=False,
                        errors="surrogateescape")
        assert done.returncode and "error: " in done.stdout and "Traceback" not in done.stdout
