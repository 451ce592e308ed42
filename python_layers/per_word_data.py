"""The data layer of nets that score words: images and a label map for each word."""

from streaming import StreamingLayer

from objseg.batches.per_word import PerWordBatchMaker, PerWordSettings


class PerWordDataLayer(StreamingLayer):
    """Stream batches of I images of side S with label maps of V words.

    No bottoms. Tops:

    - image (I, 3, S, S), BGR minus the channel means, padding zero before the subtraction; or, with
      convnet, what held convolutions give of these images, (I, C, h, w);
    - label (I, V, h, h), 1 where a region is that the word is said of, else 0.

    Parameters:

    - data, split, batch I, seed, workers: see :class:`objseg.batches.order.BatchSettings`;
    - input S: side of the image in pixels;
    - label h: side of the label map, S or a divisor of it;
    - label_rule: "any" (default) or "majority" of a cell's pixels must be in the region;
    - outputs V: the words are the V most frequent ones, see
      :class:`objseg.data.frequent_words.FrequentWords`;
    - all_words: true for the words of the vocabulary instead, at most V; default false;
    - convnet, mirror: see :class:`ours_data.OursDataLayer`.

    Example::

        layer { name: "data" type: "Python" top: "image" top: "label" include { phase: TRAIN }
                python_param { module: "per_word_data" layer: "PerWordDataLayer"
                  param_str: '{"data": "data/referit", "split": "train", "batch": 1,
                    "input": 512, "label": 512, "outputs": 500}' } }
    """

    Settings = PerWordSettings
    Maker = PerWordBatchMaker
