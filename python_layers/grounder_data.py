"""The data layer of GroundeR: phrases and the features of an image's candidate boxes."""

from streaming import StreamingLayer

from objseg.batches.grounder import GrounderBatchMaker, GrounderSettings


class GrounderDataLayer(StreamingLayer):
    """Streams batches that background processes prepare while the net computes.

    No bottoms. Tops, for N phrases of T words with B boxes each:

    - features (N B, D_fc7 + 8), features of the boxes and where they lie;
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - sample_index (N B), the phrase of each row of features;
    - label (N), which of its B boxes the phrase means.

    The parameters are :class:`objseg.batches.grounder.GrounderSettings`.

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
