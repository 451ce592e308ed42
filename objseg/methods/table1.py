"""The rows of Table 1: every method turns an image and expressions into masks.

A method is an entry of ``METHODS``: a function that opens its net, which finds something for each
expression, and one that draws what was found as a mask. Rows of one model differ in the drawing
alone, so that the net runs once for all of them. :func:`configure` finds a method's files and
checks that they exist; the resulting :class:`Configuration` is small and can be sent to another
process, which calls :func:`open_methods` to load the net. A further method is a further entry and
two functions such as those of the modules beside this one.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby
from pathlib import Path

import numpy as np

from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.files import REPOSITORY, sha256
from objseg.geometry import Placement, authors_score_on_image, score_on_image
from objseg.regions.features import FeatureReader


@dataclass(frozen=True)
class Method:
    """A row of Table 1.

    ``paper`` is the row's precision@0.5 ... @0.9 and overall IoU in percent on the ReferIt test
    split, ``seconds`` the time an input takes on a Tesla K40 in the paper's Table 2, None where it
    has none. ``open`` takes a Configuration, loads the net and returns ``find(image, expressions,
    image_id, tally)``, which iterates over what it finds, a finding an expression;
    ``draw(image, findings, tally)`` iterates over their masks, bool (H, W). ``image`` is (H, W, 3)
    uint8 BGR, ``image_id`` its id in a data set or None, ``tally`` a collections.Counter of what
    did not go as usual.

    ``model`` is the trained model (see models/registry.py), None where nothing is learnt; methods
    of one model have the same ``open``. ``needs`` names what a method takes from the image's
    proposals: "features" of boxes, "segments", or None.
    """

    name: str
    title: str
    paper: tuple
    open: Callable
    draw: Callable
    model: str | None = None
    needs: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Configuration:
    """A method with the files it needs; ``gpu`` is a device number, or None for the CPU.

    ``proposals`` and ``features`` are the folders of a data set's proposals and of their features;
    without them both are computed from the image, the features by the net ``crops`` with the
    weights ``trunk``.
    """

    method: str
    deploy: Path | None = None
    weights: Path | None = None
    vocabulary: Path | None = None
    gpu: int | None = None
    compat_authors: bool = False
    proposals: Path | None = None
    features: Path | None = None
    crops: Path | None = None
    trunk: Path | None = None

    def identity(self):
        """Return everything that the masks depend on: {option or file role: value or sha256}."""
        files = {"deploy": self.deploy, "weights": self.weights, "vocabulary": self.vocabulary}
        if self.features is not None:
            files["features"] = self.features / "index.json"
        identity = {
            "method": self.method,
            "compat_authors": self.compat_authors,
            **{role: sha256(path) for role, path in files.items() if path is not None},
        }
        if self.proposals is not None:
            identity["proposals"] = _digest(self.proposals)
        return identity


def _digest(folder):
    """One checksum of all files of a folder and their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _open_nothing(configuration):
    def find(image, expressions, image_id=None, tally=None):
        return iter(expressions)

    return find


def _whole_image(image, findings, tally=None):
    """Everything is foreground (section 4.1)."""
    for _ in findings:
        yield np.ones(image.shape[:2], bool)


def _open_segmenter(configuration):
    """Load the net; what it finds are scores (H, W), its response maps on the image."""
    from objseg.methods.ours import Segmenter  # Caffe is needed here and nowhere above

    segmenter = Segmenter(
        configuration.deploy, configuration.weights, Vocabulary.load(configuration.vocabulary),
        configuration.gpu,
    )
    to_image = authors_score_on_image if configuration.compat_authors else score_on_image

    def find(image, expressions, image_id=None, tally=None):
        placement = Placement(image.shape[0], image.shape[1], segmenter.input_size)
        for response in segmenter.responses(image, expressions):
            yield to_image(response, placement)

    return find


def _positive(image, findings, tally=None):
    """Foreground is where the score is above 0 (section 3.3)."""
    for scores in findings:
        yield scores > 0


def _baseline(module, function):
    """A function of a module beside this one, imported (with Caffe) when it is called."""
    def call(*arguments):
        return getattr(import_module(f"objseg.methods.{module}"), function)(*arguments)

    return call


# Table 2 has one figure for the three ways to combine the words.
PER_WORD = dict(open=_baseline("per_word", "open_words"), model="per-word", seconds=0.169)
SCRC = dict(open=_baseline("scrc", "open_boxes"), model="scrc", needs="features")
GROUNDER = dict(open=_baseline("grounder", "open_boxes"), model="grounder", needs="features")
RECTANGLE = dict(draw=_baseline("best_box", "rectangles"))
GRABCUT = dict(draw=_baseline("best_box", "foregrounds"))
STAGE = dict(open=_open_segmenter, draw=_positive)

METHODS = {
    method.name: method
    for method in (
        Method(
            "whole-image", "whole image", (5.07, 2.85, 1.58, 0.81, 0.41, 15.12),
            _open_nothing, _whole_image,
        ),
        Method(
            "per-word-average", "per-word average", (10.97, 5.94, 2.35, 0.45, 0.00, 27.23),
            draw=_baseline("per_word", "average"), **PER_WORD,
        ),
        Method(
            "per-word-intersection", "per-word intersection",
            (9.58, 5.35, 2.20, 0.43, 0.00, 26.69),
            draw=_baseline("per_word", "intersection"), **PER_WORD,
        ),
        Method(
            "per-word-union", "per-word union", (10.46, 5.65, 2.28, 0.44, 0.00, 19.37),
            draw=_baseline("per_word", "union"), **PER_WORD,
        ),
        Method(
            "scrc-bbox", "SCRC bbox", (9.73, 4.43, 1.51, 0.27, 0.03, 21.72), **SCRC, **RECTANGLE,
        ),
        Method(
            "scrc-grabcut", "SCRC grabcut", (11.91, 7.71, 4.33, 1.78, 0.36, 17.84),
            **SCRC, **GRABCUT, seconds=4.319,
        ),
        Method(
            "grounder-bbox", "GroundeR bbox", (11.08, 6.20, 2.74, 0.78, 0.20, 20.50),
            **GROUNDER, **RECTANGLE,
        ),
        Method(
            "grounder-grabcut", "GroundeR grabcut", (14.09, 9.62, 5.78, 2.65, 0.62, 20.09),
            **GROUNDER, **GRABCUT, seconds=3.753,
        ),
        Method(
            "mcg-classification", "MCG classification", (12.72, 9.88, 7.38, 4.73, 1.88, 18.08),
            _baseline("mcg", "open_segments"),
            _baseline("mcg", "as_found"), "mcg", "segments", 9.375,
        ),
        Method(
            "lowres", "Ours (low resolution)", (29.54, 21.61, 13.69, 5.94, 0.75, 45.57),
            model="lowres", **STAGE,
        ),
        Method(
            "highres", "Ours (high resolution)", (34.02, 26.71, 19.32, 11.63, 3.92, 48.03),
            model="highres", **STAGE, seconds=0.325,
        ),
    )
}
"""Methods by name, in Table 1's order."""


def configure(
    name, size, data, weights=None, vocabulary=None, prototxt=None, gpu=None, compat_authors=False,
    cached=True,
):
    """Find the files of the method ``name`` and return its Configuration.

    ``size`` is a :class:`models.sizes.Size`. ``weights``, ``vocabulary`` and the folder
    ``prototxt`` take the place of what belongs to the size: the file that training leaves, the
    MODEL_vocabulary.txt beside the weights or else the words of the data set in the folder
    ``data``, and the committed nets. ``cached`` methods take proposals and features from the data
    set, others compute them. Raises UserError naming a file that is missing and the command that
    makes it.
    """
    method = METHODS[name]
    if method.model is None:
        if weights is not None:
            raise UserError(f"the method {name} has no weights; leave out {weights}")
        return Configuration(name)
    weights = Path(weights or conventional_weights(method.model, size))
    if not weights.is_file():
        raise UserError(
            f"{weights} does not exist: the weights of the method {name}, size {size.name}; train "
            f"them with: python tools/train.py --model {method.model} --size {size.name}, or name "
            "a file with --weights"
        )
    prototxt = Path(prototxt or conventional_prototxt(size))
    deploy = _net(prototxt, method.model, size)
    if vocabulary is None or method.model == "per-word":
        vocabulary = _words(method.model, weights, Path(data))
    return Configuration(
        name, deploy, weights, Path(vocabulary), gpu, compat_authors,
        **_regions(method, size, Path(data), cached),
    )


def _net(prototxt, model, size):
    deploy = prototxt / f"deploy_{model}.prototxt"
    if not deploy.is_file():
        raise UserError(
            f"{deploy} does not exist; generate it with: python tools/generate_prototxt.py "
            f"--size {size.name} --out {prototxt}"
        )
    return deploy


def _words(model, weights, data):
    """The words of a model: beside its weights, or else those of the data set."""
    beside, fallback = weights.parent / f"{model}_vocabulary.txt", data / "vocabulary.txt"
    if beside.is_file():
        return beside
    if model == "per-word":
        raise UserError(
            f"{beside} does not exist: the frequent words that {weights} was trained with; "
            "tools/train.py writes it"
        )
    if not fallback.is_file():
        raise UserError(
            f"neither {beside} nor {fallback} exists: name the words that the weights were "
            "trained with by --vocabulary FILE"
        )
    return fallback


def _regions(method, size, data, cached):
    """Fields of the Configuration of a method that chooses among proposals."""
    if method.needs is None:
        return {}
    if method.needs == "segments":
        if not cached:
            return {}
        segments = data / "proposals" / "segments"
        if not segments.is_dir():
            raise UserError(
                f"{segments} does not exist: the proposed segments; make them with: "
                f"python tools/make_proposals.py --kind segments --data {data}"
            )
        return {"proposals": segments}
    if not cached:
        trunk = REPOSITORY / size.pretrained
        require_trunk(trunk, size)
        # it depends on the size alone, whatever the other nets were generated with
        return {"crops": _net(conventional_prototxt(size), "crops", size), "trunk": trunk}
    features = data / "features" / size.name
    if not (features / "index.json").is_file():
        raise UserError(
            f"{features / 'index.json'} does not exist: the features of the proposed "
            f"boxes; make them with: python tools/extract_features.py --data {data} "
            f"--size {size.name}"
        )
    FeatureReader(features).check(data)
    return {"features": features}


def require_trunk(path, size):
    """Raise UserError, saying what makes it, unless the pretrained trunk of a size is there."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist: the pretrained trunk; make it with: "
            f"python {size.recipes['lowres'].start_command}"
        )


def conventional_weights(model, size):
    """Where ``caffe train`` on the committed solvers leaves the weights of a model and size."""
    iterations = size.recipes[model].iterations
    return REPOSITORY / size.snapshots / f"{model}_iter_{iterations}.caffemodel"


def conventional_prototxt(size):
    """Folder of the committed nets of a size."""
    return REPOSITORY / "prototxt" / ("" if size.name == "paper" else size.name)


def passes(configurations):
    """Split a list of Configurations into lists of those that one pass of a net serves."""
    def net(configuration):
        model = METHODS[configuration.method].model
        return replace(configuration, method=model or configuration.method)

    return [list(group) for _, group in groupby(configurations, net)]


def open_methods(configurations):
    """Load the net that a list of Configurations shares, one of :func:`passes`.

    Returns ``masks(image, expressions, image_id=None)``, which returns a pair for each
    Configuration: an iterator over the masks, bool (H, W), an expression each, and a Counter that
    is complete when the iterator ends (see :class:`Method`).
    """
    methods = [METHODS[configuration.method] for configuration in configurations]
    find = methods[0].open(configurations[0])

    def masks(image, expressions, image_id=None):
        shared = Counter()
        findings = list(find(image, expressions, image_id, shared))
        tallies = [shared.copy() for _ in methods]
        return [
            (method.draw(image, findings, tally), tally) for method, tally in zip(methods, tallies)
        ]

    return masks
