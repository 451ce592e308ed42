"""Finding the files of a method, and refusing those that do not belong together."""

import hashlib
import json
import logging
import re

import pytest

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.methods.configuration import Options, configure, conventional_prototxt
from objseg.methods.trained import weights_in

SLIM = SIZES["slim"]


def test_files_of_a_method_are_found_or_the_command_is_named(tmp_path):
    weights = tmp_path / "a.caffemodel"
    options = Options(weights, prototxt=tmp_path)
    with pytest.raises(UserError, match=r"a\.caffemodel does not exist.*--weights FOLDER"):
        configure("highres", SLIM, tmp_path, Options(weights))
    weights.touch()
    with pytest.raises(UserError, match="tools/generate_prototxt.py --size slim"):
        configure("highres", SLIM, tmp_path, options)
    (tmp_path / "deploy_highres.prototxt").touch()
    with pytest.raises(UserError, match="--vocabulary"):
        configure("highres", SLIM, tmp_path / "data", options)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vocabulary.txt").touch()
    found = configure("highres", SLIM, tmp_path / "data", options)
    assert found.vocabulary == tmp_path / "data" / "vocabulary.txt"
    (tmp_path / "highres_vocabulary.txt").touch()
    found = configure("highres", SLIM, tmp_path / "data", options)
    assert found.vocabulary == tmp_path / "highres_vocabulary.txt"
    with pytest.raises(UserError, match="no weights"):
        configure("whole-image", SLIM, tmp_path, Options(weights))


@pytest.mark.parametrize("method", ["highres", "mcg-classification"])
def test_the_advice_for_missing_weights_names_targets_of_the_makefile(tmp_path, method):
    with pytest.raises(UserError) as caught:
        configure(method, SLIM, tmp_path, Options(tmp_path / "none"))
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
    found = configure("highres", SIZES["paper"], trained / "nowhere", Options(trained))
    assert found.weights == trained / "highres_iter_150.caffemodel"
    assert found.deploy == trained / "prototxt" / "deploy_highres.prototxt"
    assert found.vocabulary == trained / "highres_vocabulary.txt"
    # the net of another size is the committed one where training has left none
    found = configure("lowres", SLIM, trained / "nowhere", Options(trained))
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
                "vocabulary": sha256(vocabulary)}
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    weights.with_suffix(".json").write_text(json.dumps({**manifest, "sha256": seal}))


@pytest.mark.parametrize("model", ["highres", "per-word"])
def test_words_that_the_weights_were_not_trained_with_are_refused_by_name(trained, model):
    name = {"per-word": "per-word-union"}.get(model, model)
    words = trained / f"{model}_vocabulary.txt"
    weights = weights_in(trained, model)
    describe(weights, words)
    other = trained / "other.txt"
    other.write_text("<pad>\n")
    assert configure(name, SLIM, trained, Options(weights)).vocabulary == words
    if model == "highres":
        with pytest.raises(UserError, match=r"other\.txt .*is not the vocabulary that .*_150"):
            configure(name, SLIM, trained, Options(weights, other))
    words.write_text("another data set's words\n")
    with pytest.raises(UserError, match=rf"{model}_vocabulary\.txt .*is not the vocabulary that"):
        configure(name, SLIM, trained, Options(weights))


def test_a_named_vocabulary_has_to_be_there(trained):
    with pytest.raises(UserError, match=r"none\.txt does not exist"):
        configure("highres", SLIM, trained, Options(trained, trained / "none.txt"))


def test_per_word_says_that_it_does_not_use_the_named_vocabulary(trained, caplog):
    caplog.set_level(logging.INFO)
    words = trained / "highres_vocabulary.txt"
    found = configure("per-word-union", SLIM, trained, Options(trained, words))
    assert found.vocabulary == trained / "per-word_vocabulary.txt"
    assert "--vocabulary is not used" in caplog.text and "per-word_vocabulary.txt" in caplog.text
    (trained / "per-word_vocabulary.txt").unlink()
    with pytest.raises(UserError, match=r"per-word_vocabulary\.txt does not exist"):
        configure("per-word-union", SLIM, trained, Options(trained))
