"""The data layer of the nets that see whole images: batches of images, expressions, label maps."""

from streaming import StreamingLayer

from objseg.batches.ours import BatchMaker, BatchSettings


class OursDataLayer(StreamingLayer):
    """Streams batches that background processes prepare while the net computes.

    No bottoms. Tops, for N expressions on I images of side S, T words:

    - image (I, 3, S, S), BGR minus the channel means, padding zero before the subtraction;
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - label (N, 1, h, w), 0 or 1;
    - image_index (N), the image of each expression: only if there is a fifth top.

    With ``label_words`` the tops are image and label (I, V, h, w) alone. The parameters are
    :class:`objseg.batches.ours.BatchSettings`.

    Example::

        layer { name: "data" type: "Python" top: "image" top: "tokens" top: "continuation"
                top: "label" include { phase: TRAIN }
                python_param { module: "ours_data" layer: "OursDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 10,
                    "input": 512, "words": 20, "vocabulary": 8803, "label": 16}' } }
    """

    Settings = BatchSettings
    Maker = BatchMaker
