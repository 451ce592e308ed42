"""The data layer of the paper's model: images, expressions and label maps."""

from streaming import StreamingLayer

from objseg.batches.ours import OursBatchMaker, OursSettings


class OursDataLayer(StreamingLayer):
    """Stream batches of N expressions on I = N / E images of side S.

    No bottoms. Tops:

    - image (I, 3, S, S), BGR minus the channel means, padding zero before the subtraction; or, with
      convnet, what held convolutions give of these images, (I, C, h, w);
    - tokens (T, N), rows of the vocabulary; continuation (T, N), 0 up to the first word, then 1;
    - label (N, 1, h, h), 1 where the expression's region is, else 0;
    - image_index (N,), the image of each expression: with more than one expression an image.

    Parameters:

    - data, split, batch N, seed, workers: see :class:`objseg.batches.order.BatchSettings`;
    - input S: side of the image in pixels;
    - label h: side of the label map, S or a divisor of it;
    - label_rule: "any" (default) or "majority" of a cell's pixels must be in the region;
    - words T: steps of the LSTM; vocabulary: rows of the embedding;
    - expressions_per_image E: default 1;
    - convnet: folder of tools/extract_convnet.py, default null;
    - mirror: true to mirror half the images, with left and right exchanged in their expressions.

    Example::

        layer { name: "data" type: "Python" top: "image" top: "tokens" top: "continuation"
                top: "label" include { phase: TRAIN }
                python_param { module: "ours_data" layer: "OursDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 10,
                    "input": 512, "words": 20, "vocabulary": 8803, "label": 16}' } }
    """

    Settings = OursSettings
    Maker = OursBatchMaker
