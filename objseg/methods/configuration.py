"""Which files a method needs: found in their places, and checked before anything runs."""

from pathlib import Path

from objseg.data.dataset import Dataset
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.method import Configuration
from objseg.methods.nets import check_trained_with, deploy_beside, vocabulary_beside, weights_in
from objseg.methods.table1 import METHODS
from objseg.regions.features import FeatureReader
from objseg.regions.index import ProposalIndex


def configure(
    name: str, size, data: Path | Dataset, weights: Path | str | None = None,
    gpu: int | None = None, cached: bool = True,
) -> Configuration:
    """Find the files of the method ``name`` and return its Configuration.

    ``size`` is a :class:`models.sizes.Size`, ``data`` the data set or its folder. ``weights`` is a
    caffemodel or a folder of them, see :func:`objseg.methods.nets.weights_in`; by default those
    that come with the project, or else the file that ``caffe train`` leaves. Their net and their
    words are those beside them, as training leaves them, or else the committed net and the data
    set's words. ``cached`` methods take proposals and features from the data set, others compute
    them.

    Raises UserError naming a file that is missing and the command that makes it, or a vocabulary
    that is not the one that the weights were trained with.
    """
    model = METHODS[name].model
    if model is None:
        return Configuration(name)
    weights = _weights(name, model, size, weights)
    deploy = deploy_beside(weights, model)
    if not deploy.is_file():
        deploy = committed_net(model, size)
    folder = data.directory if isinstance(data, Dataset) else Path(data)
    vocabulary = _vocabulary(model, weights, folder)
    check_trained_with(weights, vocabulary)
    regions = _regions(METHODS[name].needs, size, data, cached)
    return Configuration(name, deploy, weights, vocabulary, gpu, **regions)


def _weights(name, model, size, given):
    iterations = size.recipes[model].iterations
    trained = size.published or f"{size.snapshots}/{model}_iter_{iterations}.caffemodel"
    path = Path(given or REPOSITORY / trained)
    if path.is_dir():
        return weights_in(path, model)
    if not path.is_file():
        demo = "make demo" if model in ("lowres", "highres") else "make table1"
        raise UserError(
            f"{path} does not exist: the weights of the method {name}, size {size.name}. "
            f"Name others with --weights FILE or --weights FOLDER, or train them: `{demo}` does it "
            "in minutes, at the slim size on drawn scenes, and prints how to use them; with a data "
            f"set of your own: python tools/train.py --model {model} --size {size.name}"
        )
    return path


def _vocabulary(model, weights, data):
    """Choose the words of a model: those beside its weights, or else the data set's."""
    beside = vocabulary_beside(weights, model)
    if beside.is_file():
        return beside
    if model != "per-word" and (data / "vocabulary.txt").is_file():
        return data / "vocabulary.txt"
    raise UserError(
        f"{beside} does not exist: the words that {weights} was trained with; copy the file from "
        "the folder where tools/train.py wrote it"
    )


def _regions(needs, size, data, cached):
    """Fields of the Configuration of a method that ``needs`` "features" or "segments", or None."""
    if needs is None or needs == "segments" and not cached:
        return {}
    if not cached:
        trunk = REPOSITORY / size.pretrained
        require_trunk(trunk, size)
        return {"crops": committed_net("crops", size), "trunk": trunk}
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    if needs == "features":
        features = dataset.directory / "features" / size.name
        FeatureReader(features).check(dataset)
        return {"features": features}
    segments = dataset.directory / "proposals" / "segments"
    if not segments.is_dir():
        raise UserError(
            f"{segments} does not exist: the proposed segments; make them with: "
            f"python tools/make_proposals.py --kind segments --data {dataset.directory}"
        )
    ProposalIndex(segments).check(dataset.all_images())
    return {"proposals": segments}


def require_trunk(path: Path, size) -> None:
    """Raise UserError, saying what makes it, unless the pretrained trunk of a size is there."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist: the pretrained trunk; make it with: "
            f"python {size.recipes['lowres'].start_command}"
        )


def conventional_prototxt(size) -> Path:
    """Return the folder of the committed nets of a size."""
    return REPOSITORY / "prototxt" / ("" if size.name == "paper" else size.name)


def committed_net(name: str, size, folder: Path | None = None) -> Path:
    """Return the deploy net ``name`` of a size in ``folder``, by default the committed one.

    Raises UserError where it is missing.
    """
    deploy = (folder or conventional_prototxt(size)) / f"deploy_{name}.prototxt"
    if not deploy.is_file():
        raise UserError(
            f"{deploy} does not exist; generate it with: python tools/generate_prototxt.py "
            f"--size {size.name} --out {deploy.parent}"
        )
    return deploy
