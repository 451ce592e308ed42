"""The embedded data set: its scenes, its expressions, and how it lies on disk."""

import itertools
import re

import cv2
import numpy as np
import pytest
import scipy.io

from objseg.errors import UserError
from objseg.synthesis import demo_data, wording
from objseg.synthesis.demo_data import MODES, make_data, make_scene
from objseg.synthesis.landscapes import STUFF
from objseg.synthesis.referring import LEAST_AREA, Phrase, denotes
from objseg.synthesis.scenes import THINGS, Instance, Scene
from objseg.synthesis.sprites import COLOURS

SCENES = {"train": 4, "val": 1, "test": 2}
RELATION = re.compile(
    " (?:behind|in front of|next to|by|beside|near|above|over|under|below|left of|right of|"
    "to the left of|to the right of|on (?:the )?(?:grass|lawn|sand|beach|snow|road|street|water|"
    "lake|sea)|in (?:the )?sky)"
)
LINE = re.compile(r"(\d+)_(\d+)\.jpg~([^~]+)~(0\.\d+)~(0\.\d+)")


@pytest.fixture(scope="module")
def scenes():
    """Forty scenes with their regions."""
    return [make_scene(number, 5, "referring")[:2] for number in range(40)]


@pytest.fixture(scope="module")
def spoken(scenes):
    """Every (scene, target, phrase, expression) of these scenes."""
    return [(scene, target, phrase, text) for scene, regions in scenes
            for target, expressions in regions for phrase, text in expressions]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A data set on disk."""
    out = tmp_path_factory.mktemp("demo") / "raw"
    make_data(out, SCENES, 3, "referring", workers=2)
    return out


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def test_a_phrase_is_used_only_for_exactly_what_it_denotes(spoken):
    assert all(denotes(phrase, scene) == target for scene, target, phrase, _ in spoken)


def test_instances_are_the_visible_pixels_and_disjoint(scenes):
    for scene, regions in scenes:
        masks = [scene.mask([index]) for index in range(len(scene.instances))]
        assert (np.sum(masks, axis=0) == 1).all()
        for instance, mask in zip(scene.instances, masks):
            assert instance.area == mask.sum()
        for target, _ in regions:
            union = np.any([masks[index] for index in target], axis=0)
            np.testing.assert_array_equal(scene.mask(target), union)
            assert all(masks[index].mean() >= LEAST_AREA for index in target)


def words_for(kind):
    return {word + ending for word in wording._NOUNS[kind] for ending in ("", "s")} | (
        {"people", "men"} if kind == "person" else set())


def test_words_alone_lead_to_the_target(spoken):
    """Read the expression without its phrase: noun, colour and side agree with the pixels."""
    sides = checked = 0
    for scene, target, phrase, text in spoken:
        head = RELATION.split(re.sub(r"[.,]", "", text.lower()))[0]
        colours = [word for word in head.split() if word in COLOURS]
        alike = [i for i, thing in enumerate(scene.instances) if thing.area
                 and any(re.search(rf"\b{noun}\b", head) for noun in words_for(thing.kind))
                 and (not colours or thing.kind in STUFF or thing.colour == colours[-1])]
        assert target <= set(alike), text
        rest = set(head.split()) & {"left", "right", "middle", "center", "front", "back", "closest",
                                    "farthest", "biggest", "largest", "smallest", "small", "little",
                                    "big", "large", "bottom", "top", "lower", "upper"}
        if not rest and not phrase.relation:
            assert target == set(alike), text
            checked += 1
        if len(target) == 1 and phrase.place in ("left", "right") and not phrase.size:
            sign = 1 if phrase.place == "left" else -1
            xs = {i: sign * np.nonzero(scene.mask([i]))[1].mean() for i in alike}
            assert min(xs, key=xs.get) in target, text
            sides += 1
    assert checked > 50 and sides > 5


def test_half_is_about_stuff_and_every_sort_of_expression_occurs(spoken, scenes):
    about_stuff = [scene.instances[next(iter(target))].is_stuff for scene, target, _, _ in spoken]
    assert 0.38 < np.mean(about_stuff) < 0.52
    assert 5 < len(spoken) / len(scenes) <= 6
    assert all(2 <= len(regions) <= 6 for _, regions in scenes)
    phrases = [phrase for *_, phrase, _ in spoken]
    assert any(phrase.plural for phrase in phrases)
    for part in ("colour", "size", "place", "relation"):
        assert sum(getattr(phrase, part) is not None for phrase in phrases) > 10
    assert len({text for *_, text in spoken}) > 0.5 * len(spoken)


def test_things_are_large_enough_and_all_kinds_occur(scenes):
    instances = [(thing, scene) for scene, _ in scenes for thing in scene.instances]
    assert {thing.kind for thing, _ in instances} == {*STUFF, *THINGS}
    shares = [thing.area / scene.labels.size for thing, scene in instances if not thing.is_stuff]
    assert 0.03 < np.median(shares) < 0.08
    for scene, _ in scenes:
        assert 2 <= sum(not thing.is_stuff for thing in scene.instances) <= 5


def arrange(*things):
    """A Scene of cars, given as (x, y, width, height) in a frame of 100x100, none hidden."""
    labels = np.zeros((100, 100), np.int8)
    instances = [Instance("sky")]
    for x, y, wide, tall in things:
        labels[y:y + tall, x:x + wide] = len(instances)
        instances.append(Instance("car", "red", "big", "sky", y + tall, wide * tall,
                                  (x, y, x + wide - 1, y + tall - 1)))
    instances[0].area = int((labels == 0).sum())
    count = len(instances)
    return Scene(np.zeros((100, 100, 3), np.uint8), labels, instances, np.zeros((count, count)))


@pytest.mark.parametrize("things, place, plural, expected", [
    ([(10, 40, 10, 10)], "left", False, {1}),
    ([(42, 40, 10, 10)], "left", False, None),  # a little left of the middle
    ([(10, 40, 10, 10), (30, 40, 10, 10)], "left", False, {1}),  # of two, the one further left
    ([(10, 40, 10, 10), (15, 60, 10, 10)], "left", False, None),  # hardly further left
    ([(10, 40, 10, 10), (30, 40, 10, 10), (80, 40, 10, 10)], "left", True, {1, 2}),
    ([(10, 40, 20, 20), (60, 40, 10, 10)], "biggest", False, {1}),
    ([(10, 40, 11, 11), (60, 40, 10, 10)], "biggest", False, None),
    ([(10, 40, 20, 20)], "biggest", False, None),  # of one alone nobody says so
    ([(80, 80, 10, 10), (10, 80, 10, 10)], "bottom right", False, {1}),
    ([(45, 40, 10, 10), (80, 40, 10, 10)], "middle", False, {1}),
])
def test_places_and_where_they_are_a_matter_of_opinion(things, place, plural, expected):
    assert denotes(Phrase("car", place=place, plural=plural), arrange(*things)) == expected


def test_behind_and_in_front_are_what_hides_and_what_is_hidden():
    scene = arrange((10, 40, 20, 20), (25, 50, 20, 20))
    scene.instances[2].kind = "tree"
    behind, front = (Phrase("car", relation="behind", other=Phrase("tree")),
                     Phrase("tree", relation="in front of", other=Phrase("car")))
    assert denotes(behind, scene) is denotes(front, scene) is None
    scene.hidden[1, 2] = 0.2
    assert denotes(behind, scene) == {1} and denotes(front, scene) == {2}
    scene.hidden[1, 2] = 0.03  # hardly hidden: nobody's example
    assert denotes(behind, scene) is denotes(front, scene) is None


def test_attributes_name_every_region_once():
    scene, regions, _ = make_scene(1, 5, "attributes")
    large = [frozenset([i]) for i, thing in enumerate(scene.instances)
             if thing.area >= LEAST_AREA * scene.labels.size]
    assert [target for target, _ in regions] == large
    for target, ((_, words),) in regions:
        thing = scene.instances[min(target)]
        assert words == (thing.kind if thing.is_stuff else f"{thing.colour} {thing.kind}")


def test_modes_seeds_and_numbers_give_other_scenes():
    images = [make_scene(number, seed, mode)[0].image.tobytes()
              for number, seed, mode in itertools.product((1, 2), (1, 2), MODES)]
    assert len(set(images)) == len(images)


def test_raw_layout_reads_back(raw):
    splits = {path.name[8:-11]: path.read_text().split() for path in (raw / "split").iterdir()}
    assert {split: len(ids) for split, ids in splits.items()} == {**SCENES, "trainval": 5}
    assert splits["trainval"] == splits["train"] + splits["val"]
    ids = splits["trainval"] + splits["test"]
    assert len(set(ids)) == 7
    text = (raw / "RealGames.txt").read_text()
    lines = [LINE.fullmatch(line).groups() for line in text.splitlines()]
    assert {scene for scene, *_ in lines} == set(ids)
    assert len(lines) == len({line[:3] for line in lines})
    expected = {scene: make_scene(int(scene), 3, "referring")[:2] for scene in ids}
    for scene, region, _, x, y in lines:
        mask = scipy.io.loadmat(raw / "mask" / f"{scene}_{region}.mat")["segimg_t"] == 0
        height, width = cv2.imread(str(raw / "images" / f"{scene}.jpg")).shape[:2]
        assert mask.shape == (height, width)
        assert mask[round(float(y) * height), round(float(x) * width)]  # the click hits the region
        drawn, regions = expected[scene]
        np.testing.assert_array_equal(mask, drawn.mask(regions[int(region) - 1][0]))
    assert len(list((raw / "mask").iterdir())) == len({line[:2] for line in lines})


def test_the_number_of_workers_changes_no_byte(raw, tmp_path):
    make_data(tmp_path / "raw", SCENES, 3, "referring", workers=1)
    assert files_of(tmp_path / "raw") == files_of(raw)


def test_an_interrupted_run_leaves_nothing_half_made(raw, tmp_path, monkeypatch):
    out = tmp_path / "raw"
    monkeypatch.setattr(demo_data, "write_lists", None)
    with pytest.raises(TypeError):
        make_data(out, SCENES, 3, "referring", workers=1)
    monkeypatch.undo()
    assert not out.exists()
    make_data(out, SCENES, 3, "referring", workers=2)
    assert files_of(out) == files_of(raw)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_other_settings_and_foreign_folders_are_refused(raw, tmp_path, caplog):
    before = files_of(raw)
    with caplog.at_level("INFO"):
        make_data(raw, SCENES, 3, "referring", workers=1)
    assert "complete, nothing to do" in caplog.text
    with pytest.raises(UserError, match="--overwrite"):
        make_data(raw, SCENES, 4, "referring", workers=1)
    assert files_of(raw) == before
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="not made by this tool"):
        make_data(tmp_path, SCENES, 3, "referring", workers=1, overwrite=True)
    (tmp_path / "settings.json").write_text('{"editor": "mine"}')
    with pytest.raises(UserError, match="not made by this tool"):
        make_data(tmp_path, SCENES, 3, "referring", workers=1, overwrite=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_overwriting_replaces_the_set(tmp_path):
    out = tmp_path / "raw"
    for seed in (1, 2):
        make_data(out, {"train": 1, "val": 0, "test": 0}, seed, "attributes", 1, seed == 2)
    assert '"seed": 2' in (out / "settings.json").read_text()
    assert [path.name for path in (out / "images").iterdir()] == ["1.jpg"]
    assert (out / "split" / "referit_test_imlist.txt").read_text() == ""
