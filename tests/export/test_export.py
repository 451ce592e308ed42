"""A net as an ONNX file: onnxruntime computes what Caffe computes, in a process without Caffe."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import caffe
import numpy as np
import onnxruntime
import pytest
from support.onnx_file import node, save_onnx, value
from support.tiny_trunk import randomize

from models import ours
from models.sizes import PHOTO, SLIM
from objseg.caffe.prototxt import prototxt
from objseg.caffe.weights import read_caffemodel, write_caffemodel
from objseg.data.expressions import MAX_WORDS, Vocabulary
from objseg.errors import UserError
from objseg.export.graph import TYPES
from objseg.export.model import save_model
from objseg.files import REPOSITORY
from objseg.methods.onnx_segmenter import OnnxSegmenter
from objseg.methods.ours import CaffeSegmenter

VOCABULARY = Vocabulary.build(["red car left of the sky"], min_count=1)
EXPRESSIONS = 3 * [
    "sky", "red car", "the red car left of the sky", "zebra", "", "car " * 30, "a: b",
]
ONE, OTHER = np.random.RandomState(1).randint(0, 256, (2, 50, 70, 3)).astype(np.uint8)
WIDTHS = dict(
    trunk=(6, 6, 8, 8, 8), fc=(12, 12, 12), vocabulary=len(VOCABULARY) + 1, embedding=40,
    hidden=36, classifier=40,
)
SIZES = {
    "stride 16": replace(PHOTO, input=48, **WIDTHS),
    "stride 32": replace(SLIM, input=96, **WIDTHS),
}
"""Narrow nets of the structures that the model for photographs and the paper's have."""


def write_files(folder, size, model="highres", spatial=2):
    """Write a net with random weights, and its words; returns deploy, weights, vocabulary."""
    settings = SimpleNamespace(model=model, freeze_convnet=True, spatial=spatial, convnet=None)
    paths = [folder / name for name in ("deploy.prototxt", "random.caffemodel", "words.txt")]
    paths[0].write_text(prototxt(ours.deploy_net(size, settings)))
    VOCABULARY.save(paths[2])
    net = caffe.Net(str(paths[0]), caffe.TEST)
    randomize(net, seed=3, scale=0.3)
    net.save(str(paths[1]))
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of a net of stride 16, and that net in ONNX with weights of every type."""
    folder = tmp_path_factory.mktemp("net")
    paths = write_files(folder, SIZES["stride 16"])
    onnx = {kind: folder / f"{kind}.onnx" for kind in TYPES}
    for kind, path in onnx.items():
        save_model(*paths, path, kind)
    return paths, onnx


def in_caffe(paths):
    return CaffeSegmenter(*paths[:2], Vocabulary.load(paths[2]))


@pytest.mark.parametrize(("size", "model", "spatial"), [
    ("stride 16", "highres", 2), ("stride 32", "highres", 8), ("stride 32", "lowres", 2),
])
def test_responses_and_masks_are_those_of_caffe(tmp_path, size, model, spatial):
    paths = write_files(tmp_path, SIZES[size], model, spatial)
    save_model(*paths, tmp_path / "net.onnx", "float32")
    segmenters = in_caffe(paths), OnnxSegmenter(tmp_path / "net.onnx")
    for image in (ONE, OTHER):
        for segmenter in segmenters:
            segmenter.set_image(image)
        expected, found = (each.predict(EXPRESSIONS) for each in segmenters)
        assert np.ptp(expected.responses[0]) > 0.01
        assert np.ptp(expected.responses, axis=0).max() > 0.01
        np.testing.assert_allclose(found.responses, expected.responses, atol=1e-4)
        clear = np.abs(expected.responses) > 1e-4
        np.testing.assert_array_equal(found.masks[clear], expected.masks[clear])


def test_known_features_stand_for_the_image_and_another_image_replaces_them(files):
    path = files[1]["float32"]
    session = onnxruntime.InferenceSession(str(path))
    side = SIZES["stride 16"].input
    pixels = np.random.RandomState(2).randint(0, 256, (2, side, side, 3)).astype(np.uint8)
    tokens = VOCABULARY.encode_all(["sky", "red car"])["tokens"]

    def run(image, known):
        return session.run(None, {"image": image, "tokens": tokens, "known_features": known})

    none = np.zeros((0, *session.get_outputs()[1].shape[1:]), np.float32)
    responses, features = run(pixels[0], none)
    again, same = run(pixels[1], features)
    np.testing.assert_array_equal(again, responses)
    np.testing.assert_array_equal(same, features)
    assert not np.allclose(run(pixels[1], none)[0], responses, atol=1e-3)


def test_the_segmenter_runs_the_trunk_once_for_an_image(files):
    segmenter = OnnxSegmenter(files[1]["float32"])
    segmenter.set_image(ONE)
    first = segmenter.predict(["sky"]).responses
    segmenter._image.features += 1  # not what the trunk would give
    assert not np.allclose(segmenter.predict(["sky"]).responses, first, atol=1e-4)
    segmenter.set_image(ONE)
    np.testing.assert_array_equal(segmenter.predict(["sky"]).responses, first)


def test_it_runs_where_caffe_and_onnx_cannot_be_imported(files, tmp_path):
    program = """
import sys
for name in ("caffe", "onnx", "google.protobuf", "objseg.caffe.weights", "models"):
    sys.modules[name] = None  # importing it raises ImportError
import numpy as np
from objseg.methods.onnx_segmenter import OnnxSegmenter
segmenter = OnnxSegmenter(sys.argv[1])
segmenter.set_image(np.load(sys.argv[2]))
np.save(sys.argv[3], segmenter.predict(["red car", "sky"]).responses)
"""
    path, cache = files[1]["float32"], tmp_path / "cache"
    np.save(tmp_path / "image.npy", ONE)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cache), "XDG_CACHE_HOME": str(cache)}
    subprocess.run([sys.executable, "-c", program, path, tmp_path / "image.npy",
                    tmp_path / "responses.npy"], check=True, cwd=REPOSITORY, env=environment)
    assert not cache.exists()  # onnxruntime's telemetry leaves files there
    expected = list(in_caffe(files[0]).responses(ONE, ["red car", "sky"]))
    np.testing.assert_allclose(np.load(tmp_path / "responses.npy"), expected, atol=1e-4)


def test_the_file_is_written_without_caffe(files, tmp_path):
    program = """
import sys
from pathlib import Path
sys.modules["caffe"] = None  # importing it raises ImportError
from objseg.export.model import save_model
save_model(*map(Path, sys.argv[1:]), "float32")
"""
    paths, onnx = files
    subprocess.run([sys.executable, "-c", program, *paths, tmp_path / "net.onnx"], check=True,
                   cwd=REPOSITORY)
    assert (tmp_path / "net.onnx").read_bytes() == onnx["float32"].read_bytes()


def test_smaller_types_make_smaller_files_with_nearly_the_same_responses(files):
    paths, onnx = files
    expected = np.array(list(in_caffe(paths).responses(ONE, EXPRESSIONS)))
    sizes = [onnx[kind].stat().st_size for kind in TYPES]
    assert sizes[0] > sizes[1] > sizes[2]
    for kind, share in (("float16", 0.002), ("int8", 0.1)):
        responses = list(OnnxSegmenter(onnx[kind]).responses(ONE, EXPRESSIONS))
        error = np.abs(np.array(responses) - expected).max()
        assert 0 < error < share * np.ptp(expected), kind


def test_the_metadata_hold_the_words_and_the_preparation(files):
    facts = onnxruntime.InferenceSession(str(files[1]["float32"])).get_modelmeta()
    properties = facts.custom_metadata_map
    assert properties["vocabulary"] == VOCABULARY.text
    assert properties["threshold"] == "0" and "uint8 BGR" in properties["preprocessing"]
    assert OnnxSegmenter(files[1]["int8"]).words == MAX_WORDS


def changed(weights, folder, layer, inputs):
    """Write ``weights`` with the first ``inputs`` of a ``layer``, 0: without it; returns a file."""
    arrays = read_caffemodel(weights)
    kernel, bias = arrays.pop(layer)
    if inputs:
        arrays[layer] = [kernel[:, :inputs], bias]
    path = folder / f"{layer}_{inputs}.caffemodel"
    write_caffemodel(path, arrays)
    return path


def test_another_net_or_other_weights_are_refused_and_an_older_file_is_kept(files, tmp_path):
    (deploy, weights, vocabulary), out = files[0], tmp_path / "net.onnx"
    out.write_text("older")
    text = deploy.read_text()
    for old, new, message in [
        ('type: "ReLU"', 'type: "TanH"', "relu1_1 .TanH.*cannot be written to ONNX"),
        ("pool: MAX", "pool: AVE", "pool1 .Pooling.: pooling that takes no maximum"),
        ('"image_index"', '"index"', "inputs image, tokens, continuation, index; expected"),
    ]:
        assert old in text
        (tmp_path / "other.prototxt").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=message):
            save_model(tmp_path / "other.prototxt", weights, vocabulary, out, "float32")
    others = write_files(tmp_path, replace(SIZES["stride 16"], classifier=44))
    for found, message in [(others[1], r"mlp_l1: weights of shape .44, .* for 40 outputs"),
                           (changed(weights, tmp_path, "fc7", 0), "no weights for the layer fc7"),
                           (changed(weights, tmp_path, "fc7", 3), "the net does not run")]:
        with pytest.raises(UserError, match=message):
            save_model(deploy, found, vocabulary, out, "float32")
    assert out.read_text() == "older" and len(list(tmp_path.glob("*.onnx"))) == 1


def test_files_that_are_no_model_of_ours_are_named(tmp_path):
    with pytest.raises(UserError, match="none.onnx: no such file; write it with: python tools/exp"):
        OnnxSegmenter(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no net")
    with pytest.raises(UserError, match="text.onnx: onnxruntime cannot open it"):
        OnnxSegmenter(tmp_path / "text.onnx")
    save_onnx(tmp_path / "foreign.onnx", [node("Relu", ["a"], "b")], {}, value("a", (1,)),
              value("b", (1,)))
    with pytest.raises(UserError, match="foreign.onnx: an ONNX file of another origin"):
        OnnxSegmenter(tmp_path / "foreign.onnx")
