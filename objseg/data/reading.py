"""How a vocabulary reads an expression: the words for the net, and those that it lacks."""

from dataclasses import dataclass

from objseg.data.expressions import Vocabulary, tokenize


@dataclass(frozen=True)
class Reading:
    """How a net of a vocabulary reads an expression.

    ``text`` is what the net is to read. ``substitutes`` are {word: the synonym in its place},
    ``unknown`` {word of the text without a row: the known words that are spelled like it}.
    ``tokens`` is the number of tokens of the expression, of which the net reads MAX_WORDS.
    ``known`` says whether any word has a row: without one a mask is a guess.
    """

    text: str
    substitutes: dict[str, str]
    unknown: dict[str, list[str]]
    tokens: int
    known: bool


def read_expression(
    expression: str, vocabulary: Vocabulary, synonyms: bool = True
) -> Reading:
    """Return the Reading of an expression; with ``synonyms``, words are replaced that have no row.

    See :meth:`objseg.data.expressions.Vocabulary.substitute`.
    """
    text, substitutes = vocabulary.substitute(expression) if synonyms else (expression, {})
    unknown = {word: vocabulary.nearest(word) for word in vocabulary.unknown(text)}
    return Reading(
        text, substitutes, unknown, len(tokenize(expression)), bool(vocabulary.known(text))
    )
