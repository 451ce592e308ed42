"""The data layer of SCRC: boxes' features and the words said of them."""

from streaming import StreamingLayer

from objseg.batches.features import FeatureSettings
from objseg.batches.scrc import ScrcBatchMaker


class ScrcDataLayer(StreamingLayer):
    """Streams batches that background processes prepare while the net computes.

    No bottoms. Tops, for N expressions of T steps:

    - local (N, D_fc8 + 8), features of the region's box and where it lies;
    - context (N, D_fc7), features of the whole image;
    - tokens (T, N), <go> and the words; continuation (T, N), 0 on the first step, then 1;
    - target (T, N), the next word, <eos> at the end, -1 after it.

    The parameters are :class:`objseg.batches.features.FeatureSettings`.

    Example::

        layer { name: "data" type: "Python" top: "local" top: "context" top: "tokens"
                top: "continuation" top: "target" include { phase: TRAIN }
                python_param { module: "scrc_data" layer: "ScrcDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 50,
                    "words": 20, "vocabulary": 8803, "features": "data/referit/features/paper"}' } }
    """

    Settings = FeatureSettings
    Maker = ScrcBatchMaker
