"""Segmentation from natural language expressions: the library, in folders by stage.

Example::

    segmenter = objseg.Segmenter.from_pretrained("photo")
    segmenter.set_image(cv2.imread("photo.jpg"))
    masks, scores, responses = segmenter.predict(["sky", "person on the left"])

Pictures and masks become a data set (``data``), candidate regions are proposed (``regions``), what
held convolutions give is computed (``convnet``), batches are made (``batches``), a net is trained
(``training``), a method turns an image and expressions into masks (``methods``), and ``evaluation``
scores and times them. ``export`` writes a trained net as an ONNX file. ``caffe`` asks Caffe for
devices and weights, ``parallel`` shares work among processes, ``synthesis`` draws scenes,
``download`` fetches the published files, and ``page`` is the page of tools/serve.py.

``caffe`` and ``training`` need Caffe. The other folders can be imported without it: they load it
when a net is opened.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from objseg.errors import UserError
    from objseg.methods.onnx_segmenter import OnnxSegmenter
    from objseg.methods.ours import CaffeSegmenter
    from objseg.methods.segmenter import Prediction, Segmenter

__all__ = ["CaffeSegmenter", "OnnxSegmenter", "Prediction", "Segmenter", "UserError"]
__version__ = "1.0.0"


def __getattr__(name: str):
    """Import the classes of ``__all__`` when they are first used: they load numpy and OpenCV."""
    if name not in __all__:
        raise AttributeError(f"module objseg has no attribute {name}")
    from objseg.errors import UserError
    from objseg.methods.onnx_segmenter import OnnxSegmenter
    from objseg.methods.ours import CaffeSegmenter
    from objseg.methods.segmenter import Prediction, Segmenter

    found = dict(CaffeSegmenter=CaffeSegmenter, OnnxSegmenter=OnnxSegmenter,
                 Prediction=Prediction, Segmenter=Segmenter, UserError=UserError)
    return found[name]
