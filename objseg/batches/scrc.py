"""Training batches of SCRC: the annotated regions' boxes and the words said of them."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.features import FeatureBatchMaker, FeatureSettings
from objseg.data.dataset import Sample
from objseg.data.expressions import EOS, GO, PAD, Vocabulary
from objseg.regions.boxes import BOX_FEATURES, with_position

NO_TARGET = -1
"""Marks a step without a word to predict; the loss ignores it."""


def encode_captions(vocabulary: Vocabulary, expressions: list[str], length: int) -> dict:
    """Encode N ``expressions`` as what SCRC reads and what it should say next.

    Returns {"tokens": int32, "continuation": float32, "target": int32}, each (length, N). A column
    of tokens is <go> w1 w2 …, its target w1 w2 … <eos>; at most ``length`` words are predicted,
    and <eos> if there is a step for it. Continuation is 0 on the first step and 1 after. Behind the
    end the token is <pad> and the target -1.
    """
    shape = length, len(expressions)
    tokens, target = np.full(shape, PAD, np.int32), np.full(shape, NO_TARGET, np.int32)
    tokens[0] = GO
    for n, expression in enumerate(expressions):
        words = vocabulary.rows(expression, length)
        tokens[1:len(words) + 1, n] = words[:length - 1]
        target[:len(words), n] = words
        target[len(words):len(words) + 1, n] = EOS
    continuation = np.ones(shape, np.float32)
    continuation[0] = 0
    return {"tokens": tokens, "continuation": continuation, "target": target}


@dataclass(frozen=True, kw_only=True)
class ScrcSettings(FeatureSettings):
    """The parameters of python_layers/scrc_data.py."""

    def shapes(self, fc7: int, fc8: int) -> dict[str, tuple]:
        """Return the tops' shapes, {name: shape} in their order, for widths of the features."""
        text = (self.words, self.batch)
        return {
            "local": (self.batch, fc8 + BOX_FEATURES), "context": (self.batch, fc7),
            "tokens": text, "continuation": text, "target": text,
        }


class ScrcBatchMaker(FeatureBatchMaker):
    """Makes the batches of :class:`ScrcSettings`; see :mod:`objseg.batches`."""

    def arrays(self, samples: list[Sample]) -> dict:
        """Return {top: array} for the N samples of a batch."""
        local, context = zip(*map(self._features, samples))
        expressions = [sample.expression for sample in samples]
        return {
            "local": np.concatenate(local), "context": np.stack(context),
            **encode_captions(self.dataset.vocabulary, expressions, self.settings.words),
        }

    def _features(self, sample):
        image, region = sample.image, sample.region
        ids, fc8, context = self.features.read(image.id, "regions", "region_fc8", "context")
        row = ids.tolist().index(region.id.encode())
        local = with_position(fc8[row:row + 1], [region.box], image.width, image.height)
        return local, context
