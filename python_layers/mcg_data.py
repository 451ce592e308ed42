"""The data layer of classification over segmentation proposals: segments and expressions."""

from streaming import StreamingLayer

from objseg.batches.mcg import McgBatchMaker, McgSettings


class McgDataLayer(StreamingLayer):
    """Stream batches of N expressions on I = N / E images, with K segments an image.

    No bottoms. Tops:

    - image (I K, 3, C, C), the segments alone, BGR minus the channel means, 0 outside;
    - spatial (I K, 8, 1, 1), the positions of the segments' boxes in [-1, 1];
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - region_index (N K,) and sample_index (N K,), the segment and the expression of each pair;
    - label (N K, 1, 1, 1), 1 where the segment's IoU with the expression's region is at least 0.5.

    Parameters:

    - data, split, batch N, seed, workers: see :class:`objseg.batches.order.BatchSettings`;
    - proposals: folder of the segment proposals;
    - segments K: proposals of an image that each of its expressions is paired with;
    - crop C: side of a segment's picture in pixels;
    - words T: steps of the LSTM; vocabulary: rows of the embedding;
    - expressions_per_image E: default 1.

    Example::

        layer { name: "data" type: "Python" top: "image" top: "spatial" top: "tokens"
                top: "continuation" top: "region_index" top: "sample_index" top: "label"
                include { phase: TRAIN }
                python_param { module: "mcg_data" layer: "McgDataLayer"
                  param_str: '{"data": "data/referit", "split": "train",
                    "proposals": "data/referit/proposals/segments", "batch": 10, "segments": 4,
                    "crop": 224, "words": 20, "vocabulary": 8803}' } }
    """

    Settings = McgSettings
    Maker = McgBatchMaker
