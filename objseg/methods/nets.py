"""A method's trained net: the weights, their net and vocabulary beside them, and opening it."""

import importlib.util
import re
import sys
from pathlib import Path

from objseg.caffe.devices import use_device
from objseg.caffe.weights import check_vocabulary, load_net
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.training.snapshot import convolutions_of, origin


def weights_in(folder: Path | str, model: str) -> Path:
    """Return the newest weights of a ``model`` in a folder: MODEL_iter_N.caffemodel, largest N.

    ``folder`` holds them, or has a folder weights/ that does. Raises UserError where none is.
    """
    folder = Path(folder)
    for place in (folder, folder / "weights"):
        found = {
            int(match[1]): path for path in place.glob(f"{model}_iter_*.caffemodel")
            if (match := re.fullmatch(rf"{re.escape(model)}_iter_(\d+)", path.stem))
        }
        if found:
            return found[max(found)]
    raise UserError(
        f"{folder}: no file {model}_iter_N.caffemodel there or in its folder weights; train it "
        f"with: python tools/train.py --model {model} --out {folder} (--size slim for slim nets)"
    )


def deploy_beside(weights: Path, model: str) -> Path:
    """Return where training writes the net that goes with ``weights``."""
    return weights.parent / "prototxt" / f"deploy_{model}.prototxt"


def vocabulary_beside(weights: Path, model: str) -> Path:
    """Return where training writes the words that ``weights`` know."""
    return weights.parent / f"{model}_vocabulary.txt"


def check_trained_with(weights: Path, vocabulary: Path) -> None:
    """Raise UserError where it is known that ``weights`` were trained with another vocabulary.

    Rows of an embedding mean nothing with other words. Caffe's own snapshots do not say.
    """
    expected = origin(weights).get("vocabulary")
    found = sha256(vocabulary)
    if expected not in (None, found):
        raise UserError(
            f"{vocabulary} (sha256 {found[:8]}…) is not the vocabulary that {weights} was trained "
            f"with (sha256 {expected[:8]}…): put that file beside the weights, or train again"
        )


def open_net(deploy, weights, gpu=None, fixed=()):
    """Load the net of a ``deploy`` prototxt on GPU number ``gpu``, or on the CPU; a caffe.Net.

    ``weights`` is a caffemodel, or None for the random start; it may lack the layers ``fixed``, and
    the convolutions if it was trained on their maps.
    Raises WeightsError or UserError when the files do not belong together.
    """
    if importlib.util.find_spec("l2_normalization") is None:
        sys.path.append(str(REPOSITORY / "python_layers"))  # where Caffe looks for Python layers
    use_device(gpu)
    return load_net(deploy, weights, fixed, weights and convolutions_of(Path(weights)))


def open_net_and_words(configuration):
    """Load the net of a Configuration and the Vocabulary that it reads; returns both."""
    net = open_net(configuration.deploy, configuration.weights, configuration.gpu)
    vocabulary = Vocabulary.load(configuration.vocabulary)
    check_vocabulary(
        net.params, vocabulary, configuration.deploy, configuration.vocabulary
    )
    return net, vocabulary
