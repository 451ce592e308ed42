"""The data layer of classification over segmentation proposals: segments and expressions."""

from streaming import StreamingLayer

from objseg.batches.mcg import McgBatchMaker, McgSettings


class McgDataLayer(StreamingLayer):
    """Streams batches that background processes prepare while the net computes.

    No bottoms. Tops, for N expressions on I images, K segments an image, T words:

    - image (I K, 3, C, C), the segments alone, BGR minus the channel means, 0 outside;
    - spatial (I K, 8, 1, 1), where the segments' boxes lie;
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - region_index (N K) and sample_index (N K), the segment and the expression of each pair;
    - label (N K, 1, 1, 1), 1 where they match.

    The parameters are :class:`objseg.batches.mcg.McgSettings`.

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
