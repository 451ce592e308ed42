"""tools/segment.py on pictures and expressions of every kind, with random slim weights."""

import importlib
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from support.commands import run_tool
from support.random_weights import PICTURE, random_segmenter, save_weights

from models.sizes import SIZES
from objseg.files import REPOSITORY
from objseg.methods.configuration import conventional_prototxt
from objseg.methods.grabcut import refine


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A random slim net that puts half of PICTURE into the mask, its vocabulary beside it."""
    return save_weights(random_segmenter(), tmp_path_factory.mktemp("weights"))


@pytest.fixture
def segment(weights, tmp_path, monkeypatch, capsys):
    """Run the tool; returns (exit status, printed text, messages, {file name: PNG})."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    tool = importlib.import_module("segment")

    def run(path, *expressions, options=(), weights=weights):
        out = tmp_path / "out"
        arguments = [path, *expressions, "--size", "slim", "--out", out]
        arguments += ["--weights", weights] if weights else []
        monkeypatch.setattr(sys, "argv", ["segment.py", *map(str, [*arguments, *options])])
        with pytest.raises(SystemExit) as end:
            tool.environment.run(tool.main)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        pictures = {
            file.name: cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in out.glob("*.png")
        }
        return end.value.code or 0, printed.out, printed.err, pictures

    return run


def figures(text):
    """The lines with area, box and score of what the tool printed."""
    return re.findall(r"^    (?:area|box|score) .*", text, re.M)


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def test_masks_overlays_and_figures(segment, tmp_path):
    path = save(tmp_path / "My photo.png", Image.fromarray(PICTURE))
    status, text, messages, pictures = segment(path, "red car", "sky, left!", "Red car")
    assert (status, messages) == (0, "")
    stems = ["my-photo_red-car", "my-photo_sky-left", "my-photo_red-car-2"]
    kinds = ("mask", "overlay")
    assert set(pictures) == {f"{stem}_{kind}.png" for stem in stems for kind in kinds}
    blocks = re.split(r'^  "', text, flags=re.M)[1:]
    for stem, block in zip(stems, blocks):
        mask, overlay = (pictures[f"{stem}_{kind}.png"] for kind in kinds)
        assert mask.shape == (60, 90)
        assert overlay.shape == (60, 90, 3)
        assert set(np.unique(mask)) <= {0, 255}
        area = int((mask > 0).sum())
        assert f"area   {area} of 5400 pixels ({area / 54:.2f} %)" in block
        if area:
            rows, columns = np.nonzero(mask)
            assert (
                f"x {columns.min()} to {columns.max()}, y {rows.min()} to {rows.max()}" in block
            )
        changed = (overlay != PICTURE[..., ::-1]).any(axis=2)
        near = cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0
        assert not changed[~near].any()
    assert (pictures["my-photo_red-car_mask.png"] == pictures["my-photo_red-car-2_mask.png"]).all()


def test_the_lowres_method(segment, weights, tmp_path):
    caffe = pytest.importorskip("caffe")
    deploy = conventional_prototxt(SIZES["slim"]) / "deploy_lowres.prototxt"
    net = caffe.Net(str(deploy), caffe.TEST)
    net.save(str(tmp_path / "low.caffemodel"))
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    options = ("--method", "lowres", "--weights", tmp_path / "low.caffemodel")
    shutil.copy(weights.parent / "highres_vocabulary.txt", tmp_path / "lowres_vocabulary.txt")
    status, _, messages, pictures = segment(path, "sky", options=options)
    assert status == 0, messages
    assert pictures["a_sky_mask.png"].shape == (60, 90)


def test_a_model_in_onnx_gives_the_same_masks_and_refuses_other_weights(
    segment, weights, tmp_path
):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    run_tool("tools/export_onnx.py", "--size", "slim", "--weights", weights,
             "--out", tmp_path / "net.onnx")
    _, text, _, expected = segment(path, "red car", "zebra")
    status, said, messages, found = segment(
        path, "red car", "zebra", options=["--onnx", tmp_path / "net.onnx"], weights=None
    )
    assert status == 0 and "zebra" in messages
    assert figures(said) == figures(text)
    assert (expected["a_red-car_mask.png"] == found["a_red-car-2_mask.png"]).mean() > 0.99
    status, _, messages, _ = segment(path, "sky", options=["--onnx", tmp_path / "net.onnx"])
    assert status == 1 and "leave out --weights" in messages
    status, _, messages, _ = segment(path, "sky", options=["--onnx", path], weights=None)
    assert status == 1 and "a.png: onnxruntime cannot open it" in messages


@pytest.mark.parametrize(
    ("name", "picture", "colours"),
    [
        ("grey.jpg", Image.fromarray(PICTURE).convert("L"), None),
        ("alpha.png", Image.fromarray(np.dstack([PICTURE, PICTURE[..., 0]])), PICTURE),
        ("cmyk.jpg", Image.fromarray(PICTURE).convert("CMYK"), PICTURE),
        ("deep.png", Image.fromarray(np.uint16(PICTURE[..., 0]) << 8), PICTURE[..., [0] * 3]),
    ],
)
def test_pictures_of_every_kind_keep_their_colours(segment, tmp_path, name, picture, colours):
    if colours is None:
        colours = np.array(picture.convert("RGB"))
    path = save(tmp_path / name, picture)
    status, text, messages, pictures = segment(path, "sky")
    assert (status, messages) == (0, "")
    mask, overlay = (pictures[f"{path.stem}_sky_{kind}.png"] for kind in ("mask", "overlay"))
    assert mask.shape == picture.size[::-1]
    untouched = cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0
    assert untouched.sum() > 100
    lossy = 12 if name.endswith(".jpg") else 0
    assert np.abs(overlay[..., ::-1].astype(int) - colours)[untouched].max() <= lossy


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_pictures_of_a_pixel_or_a_line(segment, tmp_path, size):
    path = save(tmp_path / "a.png", Image.new("RGB", size))
    status, text, messages, pictures = segment(path, "sky")
    assert (status, messages) == (0, "")
    assert pictures["a_sky_mask.png"].shape == size[::-1]


def test_rotated_photograph_is_turned_upright(segment, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "phone.jpg", Image.fromarray(PICTURE), exif=exif)
    _, _, _, pictures = segment(path, "sky")
    assert pictures["phone_sky_mask.png"].shape == (90, 60)


def test_huge_photograph(segment, tmp_path):
    huge = cv2.resize(PICTURE, (8000, 6000), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "huge.jpg"), huge)
    status, text, messages, pictures = segment(tmp_path / "huge.jpg", "sky")
    assert (status, messages) == (0, "")
    assert pictures["huge_sky_mask.png"].shape == (6000, 8000)
    assert "of 48000000 pixels" in text


@pytest.mark.parametrize("kind", ["truncated", "foreign", "empty", "missing"])
def test_bad_pictures_are_clear_errors(segment, tmp_path, kind):
    path = tmp_path / "a.jpg"
    if kind != "missing":
        save(path, Image.fromarray(PICTURE))
        data = path.read_bytes()
        path.write_bytes({"truncated": data[:-99], "foreign": b"text", "empty": b""}[kind])
    status, text, messages, pictures = segment(path, "sky")
    assert (status, text, pictures) == (1, "", {})
    assert re.fullmatch(r"error: .*a\.jpg: .+\n", messages)


@pytest.mark.parametrize("expression", ["", "  ", "."])
def test_empty_expression_is_a_clear_error(segment, tmp_path, expression):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    status, _, messages, pictures = segment(path, "sky", expression)
    assert (status, pictures) == (1, {})
    assert f"the expression {expression!r} is empty" in messages


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("red zebra left zebra", "not in the vocabulary, read as <unk>: zebra\n"),
        ("red " * 500, "500 words in \"red red"),
        ("sky " + "ä" * 200, "read as <unk>: äää"),
        ("sky and card", "read as <unk>: card, nearest car\n"),
    ],
    ids=["partly unknown", "long", "long word", "misspelled"],
)
def test_odd_expressions_give_a_mask_and_a_warning(segment, tmp_path, expression, message):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    status, _, messages, pictures = segment(path, expression)
    assert status == 0
    assert "warning: " in messages and message in messages
    assert len(pictures) == 2


@pytest.mark.parametrize(
    ("expression", "why"),
    [("the xylophone", "the; xylophone"), ("!!!", "no word at all"), ("cars", "cars, nearest car")],
)
def test_without_a_known_word_there_is_a_mask_only_when_asked_for(
    segment, tmp_path, expression, why
):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    refusal = f'no mask for "{expression}", which has no known word ({why}'
    plain = ("--no-synonyms",)
    status, text, messages, pictures = segment(path, expression, options=plain)
    assert (status, text, pictures) == (1, "", {})
    assert refusal in messages and "error: nothing to segment" in messages
    status, _, messages, pictures = segment(path, expression, "red car", options=plain)
    assert status == 0 and refusal in messages
    assert set(pictures) == {"a_red-car_mask.png", "a_red-car_overlay.png"}
    status, _, messages, pictures = segment(path, expression, options=(*plain, "--guess"))
    assert status == 0 and "no mask" not in messages and len(pictures) == 4


def test_a_synonym_is_named_and_gives_the_mask_of_the_word_it_is_read_as(segment, tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    status, _, messages, pictures = segment(path, "red automobile", "red car")
    assert (status, messages) == (0, "automobile: read as car\n")
    np.testing.assert_array_equal(pictures["a_red-automobile_mask.png"],
                                  pictures["a_red-car_mask.png"])
    _, _, messages, _ = segment(path, "red automobile", options=("--no-synonyms",))
    assert "read as <unk>: automobile" in messages


def test_the_words_are_listed_without_a_picture(segment):
    status, text, messages, _ = segment("--words")
    assert (status, messages, text.split()) == (0, "", ["car", "left", "red", "sky"])
    status, _, messages, _ = segment(REPOSITORY / "docs" / "result.jpg")
    assert status == 2 and "at least one expression" in messages


def test_five_hundred_words_are_read_up_to_the_twentieth(segment, tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    beyond, whole, shorter = (
        segment(path, " ".join((["sky", "red", "car", "left"] * 125)[:count]))[1]
        for count in (500, 20, 19)
    )
    numbers = [figures(text) for text in (beyond, whole, shorter)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_missing_weights_name_a_command_that_needs_no_data(segment, tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    status, _, messages, _ = segment(path, "sky", options=("--weights", tmp_path / "none"))
    assert status == 1
    assert "none does not exist" in messages and "`make demo`" in messages


def test_a_folder_of_weights_is_enough(segment, weights, tmp_path):
    """Its newest weights are used with the net and the words beside them, whatever the size."""
    caffe = pytest.importorskip("caffe")
    run = tmp_path / "run"
    shutil.copytree(conventional_prototxt(SIZES["slim"]), run / "prototxt")
    shutil.copy(weights.parent / "highres_vocabulary.txt", run)
    shutil.copy(weights, run / "highres_iter_20.caffemodel")
    net = caffe.Net(str(run / "prototxt" / "deploy_highres.prototxt"), caffe.TEST)
    net.save(str(run / "highres_iter_3.caffemodel"))
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    _, expected, _, _ = segment(path, "sky")
    status, text, messages, _ = segment(path, "sky", options=("--size", "paper", "--weights", run))
    assert (status, messages) == (0, "")
    assert figures(text) == figures(expected) != []


def test_several_pictures_and_folders_in_one_call_and_nothing_is_overwritten(segment, tmp_path):
    """Pictures of one name in two folders, one named twice, a broken one, and the command again."""
    for folder, turn in (("one", 1), ("two", -1)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.png", Image.fromarray(np.ascontiguousarray(PICTURE[::turn])))
    save(tmp_path / "one" / "B.JPG", Image.fromarray(PICTURE), format="JPEG")
    (tmp_path / "one" / "notes.txt").write_text("no picture")
    (tmp_path / "two" / "broken.png").write_bytes(b"no picture")
    words = (tmp_path / "one", tmp_path / "one" / "a.png", tmp_path / "two", "sky", "red car")
    status, text, messages, first = segment(*words)
    assert status == 1 and re.fullmatch(r"error: .*broken\.png: not a picture.*\n", messages)
    stems = [f"{picture}_{said}{again}" for picture, again in (("a", ""), ("b", ""), ("a", "-2"))
             for said in ("red-car", "sky")]
    assert sorted(first) == sorted(f"{stem}_{kind}.png" for stem in stems
                                   for kind in ("mask", "overlay"))
    assert (first["a_sky_mask.png"] != first["a_sky-2_mask.png"]).any()
    _, _, _, second = segment(*words)
    assert len(second) == 2 * len(first)
    assert all((second[name] == picture).all() for name, picture in first.items())
    sheet = cv2.imread(str(tmp_path / "out" / "sheet.jpg"))
    assert (tmp_path / "out" / "sheet-2.jpg").exists()
    assert sheet.shape[0] > 2 * 60 and sheet.shape[1] > 3 * 320  # six overlays, three in a row

    (tmp_path / "empty").mkdir()
    status, _, messages, _ = segment(tmp_path / "empty", "sky")
    assert status == 1 and "empty: a folder without pictures" in messages


@pytest.mark.parametrize("pixels", [1, 4], ids=["as it is", "scaled down and up again"])
def test_refined_edges_follow_the_picture(pixels):
    """A disk that is plain to see is found to its edge from an outline that waves around it."""
    y, x = np.mgrid[-180:180:1 / pixels, -240:240:1 / pixels]
    radius, waves = np.hypot(x, y), 4 * np.sin(12 * np.arctan2(y, x))
    disk = radius < 120
    noise = np.random.RandomState(1).normal(0, 6, (*disk.shape, 3))
    picture = np.clip(np.where(disk[..., None], (40, 60, 200), (60, 160, 70)) + noise, 0, 255)
    rough = radius < 120 + waves
    found = refine(picture.astype(np.uint8), rough)
    before, after = ((mask & disk).sum() / (mask | disk).sum() for mask in (rough, found))
    assert before < 0.97 and after > 0.99, (before, after)
    for mask in (np.zeros_like(disk), np.ones_like(disk)):
        np.testing.assert_array_equal(refine(picture.astype(np.uint8), mask), mask)


@pytest.mark.parametrize("name", ["plain", 'quoted "b"', "two\nlines", "not UTF-8 \udcfc"])
def test_command_line_with_any_name_of_the_output_folder(weights, tmp_path, name):
    path, out = save(tmp_path / "a.png", Image.fromarray(PICTURE)), tmp_path / name
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "segment.py", path, "sky", "--size", "slim",
         "--weights", weights, "--out", out],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(path).encode() + b'\n  "sky"\n    area ')
    assert cv2.imdecode(np.fromfile(out / "a_sky_mask.png", np.uint8), 0).shape == (60, 90)
