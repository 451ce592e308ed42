"""The data layer of GroundeR: phrases and features of an image's candidate boxes."""

from streaming import StreamingLayer

from objseg.batches.grounder import GrounderBatchMaker, GrounderSettings


class GrounderDataLayer(StreamingLayer):
    """Stream batches of N phrases with B boxes each.

    No bottoms. Tops:

    - features (N B, D_fc7 + 8), features of the boxes and their positions in [-1, 1];
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - sample_index (N B,), the phrase of each row of features;
    - label (N,), the index of the box that the phrase means, of best IoU with its region.

    Parameters:

    - data, split, batch N, seed, workers: see :class:`objseg.batches.order.BatchSettings`;
    - features: folder that tools/extract_features.py wrote;
    - candidates B: boxes of an image; default 100;
    - words T: steps of the LSTM; vocabulary: rows of the embedding.

    Example::

        layer { name: "data" type: "Python" top: "features" top: "tokens" top: "continuation"
                top: "sample_index" top: "label" include { phase: TRAIN }
                python_param { module: "grounder_data" layer: "GrounderDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 40,
                    "words": 20, "vocabulary": 8803, "candidates": 100,
                    "features": "data/referit/features/paper"}' } }
    """

    Settings = GrounderSettings
    Maker = GrounderBatchMaker
