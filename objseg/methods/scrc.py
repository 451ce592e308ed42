"""SCRC [11]: the box for which the expression is the most probable caption (paper section 4.1)."""

from functools import partial

import numpy as np

from objseg.batches.scrc import NO_TARGET, encode_captions
from objseg.data.expressions import EOS, PAD
from objseg.methods.best_box import check_width, open_best_box
from objseg.regions.boxes import with_position
from objseg.regions.features import RegionFeatures


def log_probabilities(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return log softmax(``scores``) (T, B, V) at the words ``targets`` (T,): float32 (T, B)."""
    scores = scores - scores.max(axis=-1, keepdims=True)  # so that no exponential overflows
    return scores[np.arange(len(targets)), :, targets] - np.log(np.exp(scores).sum(axis=-1))


def pack(lengths: np.ndarray, steps: int) -> list[list[tuple[int, int]]]:
    """Share captions of ``lengths`` among few texts of ``steps``, one caption after the other.

    Returns a list of texts; a text is a list of (number of the caption, its first step).
    """
    texts = []
    for number in np.argsort(lengths)[::-1]:  # the longest first: first fit decreasing
        for text in texts:
            last, begin = text[-1]
            if begin + lengths[last] + lengths[number] <= steps:
                text.append((number, begin + lengths[last]))
                break
        else:
            texts.append([(number, 0)])
    return texts


class ScrcScorer:
    """Scores boxes with SCRC's net; see :func:`objseg.methods.best_box.open_best_box`."""

    def __init__(self, net, vocabulary):
        self.net, self.vocabulary = net, vocabulary
        self.steps, self.boxes = net.blobs["tokens"].shape[0], net.blobs["local"].shape[0]

    def __call__(self, regions: RegionFeatures, expressions: list[str]) -> np.ndarray:
        """Return the log-probabilities of N expressions for B boxes, float32 (N, B).

        One is the sum over words of log p(word | words before, box, image), without the end. Most
        expressions are shorter than the net's T steps, and an LSTM forgets where the continuation
        is 0, so a pass takes several of them, one after the other.
        """
        blobs, count = self.net.blobs, len(regions.boxes)
        local = with_position(regions.fc8, regions.boxes, regions.width, regions.height)
        check_width(blobs["local"], local)
        blobs["local"].data[...] = local[np.resize(np.arange(count), self.boxes)]
        blobs["context"].data[0] = regions.context
        captions = encode_captions(self.vocabulary, expressions, self.steps)
        target = captions["target"]
        lengths = ((target != NO_TARGET) & (target != EOS)).sum(axis=0)
        result = np.empty((len(expressions), count), np.float32)
        for text in pack(lengths, self.steps):
            blobs["tokens"].data[...], blobs["continuation"].data[...] = PAD, 0
            spans = [(number, slice(begin, begin + lengths[number])) for number, begin in text]
            for number, span in spans:
                for name in ("tokens", "continuation"):
                    blobs[name].data[span, 0] = captions[name][:lengths[number], number]
            used = spans[-1][1].stop
            words = np.concatenate([target[:lengths[number], number] for number, _ in spans])
            scores = self.net.forward()["word_scores"][:used, :count]
            of_words = log_probabilities(scores, words)
            for number, span in spans:
                result[number] = of_words[span].sum(axis=0)
        return result


open_boxes = partial(open_best_box, ScrcScorer)
