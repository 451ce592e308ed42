"""Words in place of those that a vocabulary lacks: synonyms, singular and plural."""

from collections.abc import Container
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("synonyms.txt")
"""The synonyms; the head of the file says how it is read."""


@cache
def read_table(path: Path = TABLE) -> dict[str, list[str]]:
    """Read ``{word: what may stand for it, the best first}``."""
    table = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words, _, others = line.partition("#")[0].partition(":")
        for word in words.split():
            alternatives = (others or words).split()
            table.setdefault(word, []).extend(other for other in alternatives if other != word)
    return table


def substitute(word: str, vocabulary: Container[str]) -> str | None:
    """Return the nearest alternative to ``word`` that is in ``vocabulary``; None if there is none.

    A word of the vocabulary is its own nearest one. Alternatives are tried in the table's order,
    then the alternatives of those.
    """
    tried = [word]
    for candidate in tried:  # grows meanwhile
        if candidate in vocabulary:
            return candidate
        alternatives = [*read_table().get(candidate, ()), *_singular_and_plural(candidate)]
        tried += [other for other in alternatives if other not in tried]
    return None


def _singular_and_plural(word: str) -> list[str]:
    """Guess the other number of an English noun; short words such as "is" and "his" have none."""
    if len(word) < 3 or word.endswith("ss"):
        return []
    if not word.endswith("s"):
        return [f"{word}s"]
    endings = (("ies", "y"), ("es", ""), ("s", "")) if len(word) > 3 else ()
    return [word.removesuffix(ending) + end for ending, end in endings if word.endswith(ending)]
