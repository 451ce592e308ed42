"""Finding the files of a method, and refusing those that do not belong together."""

import hashlib
import json
import re
from dataclasses import replace

import pytest

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.methods.configuration import configure, conventional_prototxt
from objseg.methods.nets import weights_in

SLIM = SIZES["slim"]


def test_files_of_a_method_are_found_or_the_command_is_named(tmp_path):
    weights, data = tmp_path / "a.caffemodel", tmp_path / "data"
    with pytest.raises(UserError, match=r"a\.caffemodel does not exist.*--weights FOLDER"):
        configure("highres", SLIM, data, weights)
    weights.touch()
    size = replace(SLIM, name="none")
    with pytest.raises(UserError, match="tools/generate_prototxt.py --size none"):
        configure("highres", size, data, weights)
    (tmp_path / "prototxt").mkdir()
    (tmp_path / "prototxt" / "deploy_highres.prototxt").touch()
    with pytest.raises(UserError, match="highres_vocabulary.txt does not exist.*tools/train.py"):
        configure("highres", size, data, weights)
    data.mkdir()
    (data / "vocabulary.txt").touch()
    assert configure("highres", SLIM, data, weights).vocabulary == data / "vocabulary.txt"
    (tmp_path / "highres_vocabulary.txt").touch()
    found = configure("highres", SLIM, data, weights)
    assert found.vocabulary == tmp_path / "highres_vocabulary.txt"


@pytest.mark.parametrize("method", ["highres", "mcg-classification"])
def test_the_advice_for_missing_weights_names_targets_of_the_makefile(tmp_path, method):
    with pytest.raises(UserError) as caught:
        configure(method, SLIM, tmp_path, tmp_path / "none")
    (target,) = re.findall("`make (.*?)`", str(caught.value))
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.M)


@pytest.fixture
def trained(tmp_path):
    """A folder as tools/train.py leaves it, but for the weights, which are empty files."""
    for model, iteration in (("highres", 9), ("highres", 150), ("lowres", 1000), ("per-word", 7)):
        (tmp_path / f"{model}_iter_{iteration}.caffemodel").touch()
        (tmp_path / f"{model}_vocabulary.txt").write_text(f"words of {model}\n")
    (tmp_path / "highres_iter_9000.solverstate").touch()
    (tmp_path / "highres_iter_x.caffemodel").touch()
    (tmp_path / "prototxt").mkdir()
    for model in ("highres", "per-word"):
        (tmp_path / "prototxt" / f"deploy_{model}.prototxt").touch()
    return tmp_path


def test_a_folder_stands_for_its_newest_weights_with_their_net_and_words(trained):
    found = configure("highres", SIZES["paper"], trained / "nowhere", trained)
    assert found.weights == trained / "highres_iter_150.caffemodel"
    assert found.deploy == trained / "prototxt" / "deploy_highres.prototxt"
    assert found.vocabulary == trained / "highres_vocabulary.txt"
    # the net of another size is the committed one where training has left none
    found = configure("lowres", SLIM, trained / "nowhere", trained)
    assert found.weights == trained / "lowres_iter_1000.caffemodel"
    assert found.deploy == conventional_prototxt(SLIM) / "deploy_lowres.prototxt"


def test_a_folder_may_keep_its_weights_in_a_folder_of_that_name(trained):
    (trained / "run").mkdir()
    (trained / "run" / "weights").symlink_to(trained)
    assert weights_in(trained / "run", "highres").name == "highres_iter_150.caffemodel"
    with pytest.raises(UserError, match="no file scrc_iter_N.caffemodel .*train.py --model scrc"):
        weights_in(trained, "scrc")


def describe(weights, vocabulary):
    """Write the manifest of a snapshot, which has a checksum of itself."""
    manifest = {"files": {weights.name: {"bytes": 0, "sha256": sha256(weights)}},
                "origin": {"vocabulary": sha256(vocabulary)}}
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    weights.with_suffix(".json").write_text(json.dumps({**manifest, "sha256": seal}))


@pytest.mark.parametrize("model", ["highres", "per-word"])
def test_words_that_the_weights_were_not_trained_with_are_refused_by_name(trained, model):
    name = {"per-word": "per-word-union"}.get(model, model)
    words = trained / f"{model}_vocabulary.txt"
    weights = weights_in(trained, model)
    describe(weights, words)
    assert configure(name, SLIM, trained, weights).vocabulary == words
    words.write_text("another data set's words\n")
    with pytest.raises(UserError, match=rf"{model}_vocabulary\.txt .*is not the vocabulary that"):
        configure(name, SLIM, trained, weights)


def test_per_word_does_not_take_the_words_of_the_data_set(trained):
    (trained / "vocabulary.txt").touch()
    found = configure("per-word-union", SLIM, trained, trained)
    assert found.vocabulary == trained / "per-word_vocabulary.txt"
    found.vocabulary.unlink()
    with pytest.raises(UserError, match=r"per-word_vocabulary\.txt does not exist"):
        configure("per-word-union", SLIM, trained, trained)
