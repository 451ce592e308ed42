"""The words of the per-word baseline: the most frequent ones that mean something (paper 4.1)."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from objseg.data.dataset import Dataset
from objseg.data.expressions import tokenize
from objseg.errors import UserError
from objseg.files import write_text

STOP_WORDS = Path(__file__).with_name("stop_words.txt")
"""Words that name nothing; the paper removed some by hand, and names "the" and "towards"."""


class FrequentWords:
    """The words that the per-word net has an output for, in the order of its ``count`` outputs.

    ``words`` are at most ``count``; outputs beyond them mean nothing. Raises UserError for more.
    """

    def __init__(self, words: Iterable[str], count: int):
        self.words, self.count = list(words), count
        if len(self.words) > count:
            raise UserError(f"{len(self.words)} frequent words for a net of {count} outputs")
        self._outputs = {word: output for output, word in enumerate(self.words)}

    @classmethod
    def of(cls, dataset: Dataset, count: int) -> "FrequentWords":
        """Take the ``count`` most frequent words of the trainval expressions of a data set.

        Stop words and punctuation do not count. Equally frequent words are ordered by alphabet. A
        small data set has fewer.
        """
        stop_words = set(STOP_WORDS.read_text(encoding="utf-8").split())
        counts = Counter(
            token for sample in dataset.samples("trainval") for token in tokenize(sample.expression)
            if token not in stop_words and any(letter.isalnum() for letter in token)
        )
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[:count], count)

    @classmethod
    def load(cls, path: str | Path, count: int) -> "FrequentWords":
        """Read what :meth:`save` wrote, for a net of ``count`` outputs."""
        return cls(Path(path).read_text(encoding="utf-8").split(), count)

    def save(self, path: str | Path) -> None:
        """Write one word a line."""
        write_text(path, "".join(f"{word}\n" for word in self.words))

    def outputs(self, expression: str) -> list[int]:
        """List the outputs for the words that ``expression`` holds, each once, sorted."""
        found = {self._outputs.get(token) for token in tokenize(expression)}
        return sorted(found - {None})

    def share_without(self, expressions: list[str]) -> float:
        """Return the share, in [0, 1], of ``expressions`` that hold none of the words."""
        return [self.outputs(expression) for expression in expressions].count([]) / len(expressions)
