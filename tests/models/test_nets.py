"""The nets: the paper's numbers, the committed files, and what the blocks compute."""

import json

import caffe
import numpy as np
import pytest
import scipy.special
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.commands import run_tool

from models.sizes import SIZES
from objseg.caffe import names
from objseg.data.expressions import SPECIALS, Vocabulary
from objseg.files import REPOSITORY
from objseg.methods.ours import CaffeSegmenter

PROTOTXT = REPOSITORY / "prototxt"

# Worked out by hand from the paper: VGG-16's convolutions (in x 3 x 3 x out), fc6-8 of its
# 224x224 classifier, section 3 for the rest. The LSTM has four gates.
PAPER_PARAMETERS = {
    "conv1_1": [(64, 3, 3, 3), (64,)],
    "conv1_2": [(64, 64, 3, 3), (64,)],
    "conv2_1": [(128, 64, 3, 3), (128,)],
    "conv2_2": [(128, 128, 3, 3), (128,)],
    "conv3_1": [(256, 128, 3, 3), (256,)],
    "conv3_2": [(256, 256, 3, 3), (256,)],
    "conv3_3": [(256, 256, 3, 3), (256,)],
    "conv4_1": [(512, 256, 3, 3), (512,)],
    "conv4_2": [(512, 512, 3, 3), (512,)],
    "conv4_3": [(512, 512, 3, 3), (512,)],
    "conv5_1": [(512, 512, 3, 3), (512,)],
    "conv5_2": [(512, 512, 3, 3), (512,)],
    "conv5_3": [(512, 512, 3, 3), (512,)],
    "fc6": [(4096, 512, 7, 7), (4096,)],
    "fc7": [(4096, 4096, 1, 1), (4096,)],
    "fc8": [(1000, 4096, 1, 1), (1000,)],
    "embedding": [(8803, 1000)],
    "lstm": [(4 * 1000, 1000), (4 * 1000,), (4 * 1000, 1000)],
    "mlp_l1": [(500, 1000 + 1000 + 2, 1, 1), (500,)],
    "mlp_l2": [(1, 500, 1, 1), (1,)],
    "upsample32s": [(1, 1, 64, 64)],
}
VGG16_TOTAL = 138_357_544  # published with VGG-16
PAPER_TOTAL = VGG16_TOTAL + 8_803_000 + 8_004_000 + 1_001_500 + 501 + 4_096


def read(path):
    return text_format.Parse(path.read_text(), caffe_pb2.NetParameter())


@pytest.fixture(scope="module")
def paper():
    caffe.set_mode_cpu()
    return caffe.Net(str(PROTOTXT / "deploy_highres.prototxt"), caffe.TEST)


def test_every_parameter_of_the_paper_size_has_the_derived_shape(paper):
    found = {name: [tuple(b.shape) for b in blobs] for name, blobs in paper.params.items()}
    assert found == PAPER_PARAMETERS
    assert sum(b.count for blobs in paper.params.values() for b in blobs) == PAPER_TOTAL
    trunk = [name for name in found if name.startswith(("conv", "fc"))]
    assert sum(b.count for name in trunk for b in paper.params[name]) == VGG16_TOTAL


def test_the_maps_of_the_paper_size_have_the_papers_sizes(paper):
    shapes = {name: tuple(blob.shape) for name, blob in paper.blobs.items()}
    assert shapes["image"] == (1, 3, 512, 512)
    assert shapes["fc8"] == (1, 1000, 16, 16)
    assert shapes["tokens"] == (20, 1)
    assert shapes["fused"] == (1, 2002, 16, 16)
    assert shapes["mlp_l1"] == (1, 500, 16, 16)
    assert shapes["mlp_l2"] == (1, 1, 16, 16)
    assert shapes["upsample32s"] == (1, 1, 512, 512)


@pytest.mark.parametrize("size, folder", [("paper", "."), ("photo", "photo"), ("slim", "slim")])
def test_the_committed_files_are_what_the_generator_writes(tmp_path, size, folder):
    run_tool("tools/generate_prototxt.py", "--size", size, "--out", tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in (PROTOTXT / folder).glob("*.prototxt"))
    for name in written:
        # The solver names its net by the folder that it was written to.
        text = (tmp_path / name).read_text().replace(
            str(tmp_path), str((PROTOTXT / folder).relative_to(REPOSITORY))
        )
        assert text == (PROTOTXT / folder / name).read_text(), name


@pytest.mark.parametrize("name", ["deploy_lowres", "deploy_highres", "train_highres"])
def test_slim_differs_from_paper_in_widths_only(name):
    def structure(folder):
        return [(layer.name, layer.type, list(layer.bottom)) for layer in
                read(PROTOTXT / folder / f"{name}.prototxt").layer
                if layer.type != "BatchReindex"]

    paper, slim = structure("."), structure("slim")
    # Slim trains on several expressions an image: they share its features by a BatchReindex.
    renamed = [(n, t, ["features_unit" if b == "features_shared" else b for b in bottoms])
               for n, t, bottoms in slim]
    original = [(n, t, ["features_unit" if b == "features_shared" else b for b in bottoms])
                for n, t, bottoms in paper]
    assert renamed == original


@pytest.mark.parametrize("folder", [".", "photo", "slim"])
def test_every_net_has_the_names_that_code_relies_on(folder):
    for path in (PROTOTXT / folder).glob("train_*.prototxt"):
        layers = read(path).layer
        assert [layer.name for layer in layers if not layer.bottom] == [names.DATA] * 2
        phases = [layer.include[0].phase for layer in layers[:2]]
        assert phases == [caffe.TRAIN, caffe.TEST] and list(layers[-1].top) == [names.LOSS]
    for path in (PROTOTXT / folder).glob("deploy_*.prototxt"):
        found = [layer.name for layer in read(path).layer]
        assert (names.EMBEDDING in found) == (path.stem not in ("deploy_per-word", "deploy_crops"))
    for stage in ("lowres", "highres", "mcg"):
        layers = list(read(PROTOTXT / folder / f"deploy_{stage}.prototxt").layer)
        found = [layer.name for layer in layers]
        assert names.LSTM in found
        # What runs again for further expressions is all that reads them, and nothing of the trunk.
        end = found.index(names.FEATURES) + 1
        assert not any("tokens" in layer.bottom for layer in layers[:end])
        assert not any(name.startswith(("conv", "pool", "fc")) for name in found[end:])
        assert found[end:].count(names.EMBEDDING) == 1


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_per_word_labels_are_as_large_as_the_scores(size):
    folder = PROTOTXT / ("." if size.name == "paper" else size.name)
    trained = read(folder / "train_per-word.prototxt").layer
    upsampled = any(layer.type == "Deconvolution" for layer in trained)
    net = caffe.Net(str(folder / "deploy_per-word.prototxt"), caffe.TEST)
    (output,) = net.outputs
    scores = net.blobs[output if upsampled else "score_words"]
    labels = {json.loads(layer.python_param.param_str)["label"] for layer in trained[:2]}
    assert labels == {scores.shape[-1]}


def test_the_head_is_the_layer_after_the_trunk(paper):
    layers = list(paper._layer_names)
    assert layers.index(names.head(paper)) == layers.index("fc8") + 1


def test_highres_is_lowres_and_the_deconvolution():
    lowres, highres = (
        {layer.name for layer in read(PROTOTXT / f"train_{stage}.prototxt").layer}
        for stage in ("lowres", "highres")
    )
    assert highres - lowres == {"upsample32s"}
    assert lowres <= highres


@pytest.mark.parametrize("stage, iterations, step", [("lowres", 30000, 10000),
                                                     ("highres", 18000, 6000)])
def test_the_paper_solvers_hold_the_published_values(stage, iterations, step):
    solver = text_format.Parse((PROTOTXT / f"solver_{stage}.prototxt").read_text(),
                               caffe_pb2.SolverParameter())
    assert (solver.max_iter, solver.stepsize) == (iterations, step)
    assert (solver.base_lr, solver.gamma) == (pytest.approx(0.01), pytest.approx(0.1))
    assert (solver.momentum, solver.weight_decay) == (pytest.approx(0.9), pytest.approx(5e-4))
    assert len(solver.weights) == 1


def test_a_recipe_without_steps_lets_the_rate_fall_to_0_in_a_straight_line():
    solver = text_format.Parse((PROTOTXT / "photo" / "solver_highres.prototxt").read_text(),
                               caffe_pb2.SolverParameter())
    # Caffe's poly: base_lr (1 - iteration / max_iter) ^ power
    assert (solver.lr_policy, solver.power) == ("poly", 1)
    assert not solver.HasField("stepsize") and not solver.HasField("gamma")


def test_only_weights_decay_and_freezing_stops_at_the_convnet(tmp_path, scenes):
    run_tool("tools/generate_prototxt.py", "--size", "slim", "--data", scenes, "--freeze-convnet",
             "--out", tmp_path)
    for layer in read(tmp_path / "train_highres.prototxt").layer:
        if not layer.param:
            continue
        frozen = layer.name.startswith("conv")
        assert [p.lr_mult for p in layer.param] == [0 if frozen else 1] * len(layer.param)
        # The second blob of every layer is its bias.
        assert [p.decay_mult for p in layer.param][1:2] in ([], [0])
        assert layer.param[0].decay_mult == (0 if frozen or layer.name == "embedding" else 1)


def test_the_deconvolution_starts_as_bilinear_interpolation(paper):
    # Interpolating a linear ramp gives the ramp, inside the border of one cell.
    net = paper
    score = np.add.outer(2.0 * np.arange(16), 3.0 * np.arange(16))
    net.blobs["mlp_l2"].data[0, 0] = score
    net.forward(start="upsample32s")
    row, column = np.mgrid[32:480, 32:480]
    expected = 2 * ((row + 0.5) / 32 - 0.5) + 3 * ((column + 0.5) / 32 - 0.5)
    np.testing.assert_allclose(
        net.blobs["upsample32s"].data[0, 0, 32:480, 32:480], expected, atol=1e-4
    )


# ---- what the blocks compute, on the slim size ----

WORDS = ("red", "car", "left", "sky", "the")


@pytest.fixture(scope="module")
def segmenter():
    caffe.set_random_seed(5)
    return CaffeSegmenter(PROTOTXT / "slim" / "deploy_highres.prototxt", None,
                     Vocabulary(SPECIALS + WORDS))


def encode(segmenter, expression):
    segmenter._set_expressions([expression])
    segmenter.net.forward(start="embedding", end="expression_unit")
    return segmenter.net.blobs["expression_unit"].data[0, :, 0, 0].copy()


def test_the_encoder_is_an_lstm_over_the_words_alone(segmenter):
    """Against the textbook LSTM in numpy, without any padding."""
    vectors = segmenter.net.params["embedding"][0].data
    w_x, bias, w_h = (blob.data for blob in segmenter.net.params["lstm"])
    size = w_h.shape[1]
    hidden, cell = np.zeros(size), np.zeros(size)
    for word in ("red", "car", "left"):
        row = len(SPECIALS) + WORDS.index(word)
        gates = w_x @ vectors[row] + bias + w_h @ hidden
        i, f, o = (scipy.special.expit(gates[k * size:(k + 1) * size]) for k in range(3))
        cell = f * cell + i * np.tanh(gates[3 * size:])
        hidden = o * np.tanh(cell)
    np.testing.assert_allclose(
        encode(segmenter, "red car left"), hidden / np.linalg.norm(hidden), rtol=1e-4, atol=1e-6
    )


def test_padding_never_reaches_the_state(segmenter):
    before = encode(segmenter, "red car")
    pad = segmenter.net.params["embedding"][0].data[0]
    kept = pad.copy()
    pad[...] = 1e3
    after = encode(segmenter, "red car")
    pad[...] = kept
    np.testing.assert_array_equal(after, before)


def test_the_order_of_words_matters(segmenter):
    assert np.abs(encode(segmenter, "car red") - encode(segmenter, "red car")).max() > 1e-4


def test_expressions_that_share_an_image_score_as_alone(segmenter):
    image = np.random.RandomState(0).randint(0, 256, (90, 120, 3)).astype(np.uint8)
    expressions = [f"{a} {b}" for a in WORDS for b in WORDS]  # more than one pass through the head
    together = list(segmenter.responses(image, expressions))
    assert len(together) == 25 and together[0].shape == (90, 120)
    for expression, shared in zip(expressions, together):
        (alone,) = segmenter.responses(image, [expression])
        np.testing.assert_allclose(shared, alone, atol=1e-5)
    assert np.abs(together[0] - together[7]).max() > 1e-4
