"""The paper's own model in use: an image and expressions in, response maps and masks out."""

from pathlib import Path

from objseg.caffe.names import FEATURES, head
from objseg.caffe.weights import check_vocabulary
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.methods.method import Configuration, Find
from objseg.methods.nets import (
    check_trained_with,
    deploy_beside,
    open_net,
    vocabulary_beside,
    weights_in,
)
from objseg.methods.segmenter import Segmenter


class CaffeSegmenter(Segmenter):
    """A trained net of either stage, in Caffe.

    ``deploy`` is a deploy prototxt, ``weights`` a caffemodel (None keeps the random start),
    ``vocabulary`` an :class:`objseg.data.expressions.Vocabulary`, ``gpu`` a device number or None.
    ``input_size`` is the side of the picture that the net sees, where its input is not that picture
    but what the convolutions give of it. Raises WeightsError or UserError when they do not belong
    together.

    Example::

        segmenter = CaffeSegmenter.load("out/demo")
        segmenter.set_image(cv2.imread("photo.jpg"))
        masks, scores, responses = segmenter.predict(["sky", "red car"])
    """

    def __init__(
        self, deploy: str | Path, weights: str | Path | None, vocabulary: Vocabulary,
        gpu: int | None = None, input_size: int | None = None,
    ):
        self.net = open_net(deploy, weights, gpu)
        check_vocabulary(self.net.params, vocabulary, deploy)
        self.vocabulary = vocabulary
        self._input = next(iter(self.net.blobs))
        self.input_size = input_size or self.net.blobs[self._input].shape[2]
        self.words = self.net.blobs["tokens"].shape[0]
        self._first = head(self.net)

    @classmethod
    def load(
        cls, folder: Path | str, model: str = "highres", gpu: int | None = None
    ) -> "CaffeSegmenter":
        """Open the newest weights of a ``model`` in a folder that tools/train.py wrote.

        Raises UserError where the folder has none, or where their net or vocabulary is missing.
        """
        weights = weights_in(folder, model)
        deploy, vocabulary = deploy_beside(weights, model), vocabulary_beside(weights, model)
        if not (deploy.is_file() and vocabulary.is_file()):
            raise UserError(
                f"{weights.parent}: no {deploy.relative_to(weights.parent)} or no "
                f"{vocabulary.name}, which tools/train.py writes beside the weights"
            )
        check_trained_with(weights, vocabulary)
        return cls(deploy, weights, Vocabulary.load(vocabulary), gpu)

    def _trunk(self, pixels):
        self.net.blobs[self._input].data[0] = pixels
        return self.net.forward(end=FEATURES)[FEATURES].copy()

    def _head(self, features, expressions):
        self._set_expressions(expressions)
        self.net.blobs[FEATURES].data[...] = features
        (responses,) = self.net.forward(start=self._first).values()
        return responses[:, 0].copy()

    def _set_expressions(self, expressions):
        blobs, count = self.net.blobs, len(expressions)
        if blobs["tokens"].shape[1] != count:
            blobs["tokens"].reshape(self.words, count)
            blobs["continuation"].reshape(self.words, count)
            blobs["image_index"].reshape(count)
            self.net.reshape()
        for name, columns in self.vocabulary.encode_all(expressions, self.words).items():
            blobs[name].data[...] = columns
        blobs["image_index"].data[...] = 0


def open_responses(configuration: Configuration) -> Find:
    """Load the net; what it finds are response maps on the image, float32 (H, W)."""
    assert configuration.deploy and configuration.vocabulary  # configure() has found them
    segmenter = CaffeSegmenter(
        configuration.deploy, configuration.weights, Vocabulary.load(configuration.vocabulary),
        configuration.gpu,
    )

    def find(image, expressions, image_id=None):
        return ((response, None) for response in segmenter.responses(image, expressions))

    return find


def positive(image, responses):
    """Take pixels with a response above 0 (section 3.3): an iterator over (bool (H, W), None)."""
    return ((response > 0, None) for response in responses)
