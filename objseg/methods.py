"""The rows of Table 1: every method turns an image and expressions into masks.

A method is an entry of ``METHODS``. :func:`configure` finds its files and checks that they exist;
the resulting :class:`Configuration` is small and can be sent to another process, which calls
:func:`open_method` to load the net. A further method is a further entry and a function like
``_response_maps``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from objseg.expressions import Vocabulary
from objseg.files import REPOSITORY, sha256
from objseg.geometry import Placement, authors_score_on_image, score_on_image


@dataclass(frozen=True)
class Method:
    """A row of Table 1.

    ``paper`` is the row's precision@0.5 ... @0.9 and overall IoU in percent on the ReferIt test
    split; ``open`` takes a Configuration and returns a function from an image (H, W, 3) uint8 BGR
    and a list of expressions to an iterator over their masks, bool (H, W). A method with ``learnt``
    weights has a net ``deploy_NAME.prototxt``.
    """

    name: str
    title: str
    paper: tuple
    open: Callable
    learnt: bool = True


@dataclass(frozen=True)
class Configuration:
    """A method with the files it needs; ``gpu`` is a device number, or None for the CPU."""

    method: str
    deploy: Optional[Path] = None
    weights: Optional[Path] = None
    vocabulary: Optional[Path] = None
    gpu: Optional[int] = None
    compat_authors: bool = False

    def identity(self):
        """What the masks depend on: {option or file role: value or sha256}."""
        files = {"deploy": self.deploy, "weights": self.weights, "vocabulary": self.vocabulary}
        return {
            "method": self.method,
            "compat_authors": self.compat_authors,
            **{role: sha256(path) for role, path in files.items() if path is not None},
        }


def _whole_image(configuration):
    """Everything is foreground (section 4.1)."""
    def masks(image, expressions):
        for _ in expressions:
            yield np.ones(image.shape[:2], bool)

    return masks


def _response_maps(configuration):
    """Foreground is where the net's response map is above 0 (section 3.3)."""
    from objseg.segmenter import Segmenter  # Caffe is needed here and nowhere above

    segmenter = Segmenter(
        configuration.deploy, configuration.weights, Vocabulary.load(configuration.vocabulary),
        configuration.gpu,
    )
    to_image = authors_score_on_image if configuration.compat_authors else score_on_image

    def masks(image, expressions):
        placement = Placement(image.shape[0], image.shape[1], segmenter.input_size)
        for response in segmenter.responses(image, expressions):
            yield to_image(response, placement) > 0

    return masks


METHODS = {
    method.name: method
    for method in (
        Method(
            "whole-image", "whole image", (5.07, 2.85, 1.58, 0.81, 0.41, 15.12), _whole_image,
            learnt=False,
        ),
        Method(
            "lowres", "Ours (low resolution)", (29.54, 21.61, 13.69, 5.94, 0.75, 45.57),
            _response_maps,
        ),
        Method(
            "highres", "Ours (high resolution)", (34.02, 26.71, 19.32, 11.63, 3.92, 48.03),
            _response_maps,
        ),
    )
}
"""Methods by name, in Table 1's order."""


def configure(
    name, size, data, weights=None, vocabulary=None, prototxt=None, gpu=None, compat_authors=False
):
    """Find the files of the method ``name`` and return its Configuration.

    ``size`` is a :class:`models.sizes.Size`. ``weights``, ``vocabulary`` and the folder
    ``prototxt`` take the place of what belongs to the size: the file that training leaves, the
    vocabulary.txt beside the weights or else in the data set folder ``data``, and the committed
    nets. Raises ValueError naming a file that is missing and the command that makes it.
    """
    if not METHODS[name].learnt:
        if weights is not None:
            raise ValueError(f"the method {name} has no weights; leave out {weights}")
        return Configuration(name)
    weights = Path(weights or conventional_weights(name, size))
    if not weights.is_file():
        raise ValueError(
            f"{weights} does not exist: the weights of the method {name}, size {size.name}; train "
            f"them with: python tools/train.py --stage {name} --size {size.name}, or name a file "
            "with --weights"
        )
    deploy = Path(prototxt or conventional_prototxt(size)) / f"deploy_{name}.prototxt"
    if not deploy.is_file():
        raise ValueError(
            f"{deploy} does not exist; generate it with: python models/generate.py "
            f"--size {size.name} --out {deploy.parent}"
        )
    if vocabulary is None:
        beside, fallback = weights.parent / "vocabulary.txt", Path(data) / "vocabulary.txt"
        vocabulary = beside if beside.is_file() else fallback
        if not vocabulary.is_file():
            raise ValueError(
                f"neither {beside} nor {fallback} exists: name the words that the weights were "
                "trained with by --vocabulary FILE"
            )
    return Configuration(name, deploy, weights, Path(vocabulary), gpu, compat_authors)


def conventional_weights(name, size):
    """Where ``caffe train`` on the committed solvers leaves the weights of a method and size."""
    iterations = getattr(size, name).iterations
    return REPOSITORY / size.snapshots / f"{name}_iter_{iterations}.caffemodel"


def conventional_prototxt(size):
    """Folder of the committed nets of a size."""
    return REPOSITORY / "prototxt" / ("" if size.name == "paper" else size.name)


def open_method(configuration):
    """Load what the Configuration names; returns the function that a Method's ``open`` returns."""
    return METHODS[configuration.method].open(configuration)
