"""The data layer of SCRC: boxes' features and the words said of them."""

from streaming import StreamingLayer

from objseg.batches.scrc import ScrcBatchMaker, ScrcSettings


class ScrcDataLayer(StreamingLayer):
    """Stream batches of N expressions of T steps.

    No bottoms. Tops:

    - local (N, D_fc8 + 8), features of the region's box and its position in [-1, 1];
    - context (N, D_fc7), features of the whole image;
    - tokens (T, N), <go> and the words; continuation (T, N), 0 on the first step, then 1;
    - target (T, N), the next word, <eos> at the end, -1 after it.

    Parameters:

    - data, split, batch N, seed, workers: see :class:`objseg.batches.order.BatchSettings`;
    - features: folder that tools/extract_features.py wrote;
    - words T: steps of the LSTM; vocabulary: rows of the embedding.

    Example::

        layer { name: "data" type: "Python" top: "local" top: "context" top: "tokens"
                top: "continuation" top: "target" include { phase: TRAIN }
                python_param { module: "scrc_data" layer: "ScrcDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 50,
                    "words": 20, "vocabulary": 8803, "features": "data/referit/features/paper"}' } }
    """

    Settings = ScrcSettings
    Maker = ScrcBatchMaker
