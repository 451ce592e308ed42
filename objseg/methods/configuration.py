"""Which files a method needs: found in their places, and checked before anything runs."""

import logging
from dataclasses import dataclass
from pathlib import Path

from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.method import Configuration, Method
from objseg.methods.table1 import METHODS
from objseg.methods.trained import check_trained_with, deploy_beside, vocabulary_beside, weights_in
from objseg.regions.features import FeatureReader
from objseg.regions.index import ProposalIndex

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Choices that take the place of a size's own files.

    ``weights`` is a caffemodel, or a folder of them, see
    :func:`objseg.methods.trained.weights_in`; by default the file that ``caffe train`` leaves.
    ``vocabulary`` is by default the MODEL_vocabulary.txt beside the weights, or else the data set's
    words, ``prototxt`` the folder prototxt/ beside the weights, or else the committed nets.
    ``cached`` methods take proposals and features from the data set, others compute them; ``gpu``
    and ``compat_authors`` are those of the Configuration.
    """

    weights: Path | None = None
    vocabulary: Path | None = None
    prototxt: Path | None = None
    gpu: int | None = None
    compat_authors: bool = False
    cached: bool = True


def configure(
    name: str, size, data: Path | Dataset, options: Options = Options()
) -> Configuration:
    """Find the files of the method ``name`` and return its Configuration.

    ``size`` is a :class:`models.sizes.Size`, ``data`` the data set or its folder. Raises
    UserError naming a file that is missing and the command that makes it, or a vocabulary that is
    not the one that the weights were trained with.
    """
    method = METHODS[name]
    folder = data.directory if isinstance(data, Dataset) else Path(data)
    if method.model is None:
        if options.weights is not None:
            raise UserError(f"the method {name} has no weights; leave out {options.weights}")
        return Configuration(name)
    weights = _weights(method, size, options)
    deploy = _deploy(method.model, weights, size, options)
    vocabulary = _vocabulary(method.model, weights, folder, options)
    check_trained_with(weights, vocabulary)
    return Configuration(
        name, deploy, weights, vocabulary, options.gpu, options.compat_authors,
        **_regions(method, size, data, folder, options.cached),
    )


def _weights(method, size, options):
    path = Path(options.weights or conventional_weights(method.model, size))
    if path.is_dir():
        return weights_in(path, method.model)
    if not path.is_file():
        demo = "make demo" if method.model in ("lowres", "highres") else "make table1"
        raise UserError(
            f"{path} does not exist: the weights of the method {method.name}, size {size.name}. "
            f"Name others with --weights FILE or --weights FOLDER, or train them: `{demo}` does it "
            "in minutes, at the slim size on drawn scenes, and prints how to use them; with a data "
            f"set of your own: python tools/train.py --model {method.model} --size {size.name}"
        )
    return path


def _deploy(model, weights, size, options):
    if options.prototxt is not None:
        return _net(Path(options.prototxt), model, size)
    beside = deploy_beside(weights, model)
    return beside if beside.is_file() else _net(conventional_prototxt(size), model, size)


def _net(prototxt, name, size):
    deploy = prototxt / f"deploy_{name}.prototxt"
    if not deploy.is_file():
        raise UserError(
            f"{deploy} does not exist; generate it with: python tools/generate_prototxt.py "
            f"--size {size.name} --out {prototxt}"
        )
    return deploy


def _vocabulary(model, weights, data, options):
    """Choose the words of a model: those asked for, or beside its weights, or the data set's."""
    beside, fallback = vocabulary_beside(weights, model), data / "vocabulary.txt"
    if model == "per-word":
        if options.vocabulary is not None:
            log.info("per-word: --vocabulary is not used; its frequent words are in %s", beside)
        if not beside.is_file():
            raise UserError(
                f"{beside} does not exist: the frequent words that {weights} was trained with; "
                "copy the file from the folder where tools/train.py wrote it"
            )
        return beside
    named = options.vocabulary and Path(options.vocabulary)
    for path in (named,) if named else (beside, fallback):
        if path.is_file():
            return path
    if named:
        raise UserError(f"{named} does not exist: the words that the weights were trained with")
    raise UserError(
        f"neither {beside} nor {fallback} exists: name the words that the weights were trained "
        f"with by --vocabulary FILE; tools/train.py wrote {beside.name} beside the weights"
    )


def _regions(method: Method, size, data, folder, cached):
    """Fields of the Configuration of a method that chooses among proposals."""
    if method.needs is None or method.needs == "segments" and not cached:
        return {}
    if method.needs == "segments":
        segments = folder / "proposals" / "segments"
        if not segments.is_dir():
            raise UserError(
                f"{segments} does not exist: the proposed segments; make them with: "
                f"python tools/make_proposals.py --kind segments --data {folder}"
            )
        ProposalIndex(segments).check(_opened(data).all_images())
        return {"proposals": segments}
    if not cached:
        trunk = REPOSITORY / size.pretrained
        require_trunk(trunk, size)
        # it depends on the size alone, whatever the other nets were generated with
        return {"crops": _net(conventional_prototxt(size), "crops", size), "trunk": trunk}
    features = folder / "features" / size.name
    if not (features / "index.json").is_file():
        raise UserError(
            f"{features / 'index.json'} does not exist: the features of the proposed "
            f"boxes; make them with: python tools/extract_features.py --data {folder} "
            f"--size {size.name}"
        )
    FeatureReader(features).check(_opened(data))
    return {"features": features}


def _opened(data):
    return data if isinstance(data, Dataset) else Dataset(data)


def require_trunk(path: Path, size) -> None:
    """Raise UserError, saying what makes it, unless the pretrained trunk of a size is there."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist: the pretrained trunk; make it with: "
            f"python {size.recipes['lowres'].start_command}"
        )


def conventional_weights(model: str, size) -> Path:
    """Return where ``caffe train`` on the committed solvers leaves the weights of a model."""
    iterations = size.recipes[model].iterations
    return REPOSITORY / size.snapshots / f"{model}_iter_{iterations}.caffemodel"


def conventional_prototxt(size) -> Path:
    """Return the folder of the committed nets of a size."""
    return REPOSITORY / "prototxt" / ("" if size.name == "paper" else size.name)
