"""Expressions to tokens to numbers, after the authors' text processing (paper 3.1, 4.1)."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from objseg.data import synonyms
from objseg.errors import UserError
from objseg.files import write_text

SPECIALS = ("<pad>", "<go>", "<eos>", "<unk>")
PAD, GO, EOS, UNK = range(4)

MAX_WORDS = 20
"""Time steps T of the language encoder; later tokens are cut."""

MIN_COUNT = 2
"""Times a word must occur in trainval to get a row, unless somebody asks for another number."""

_SEPARATOR = re.compile(r"(\W+)")
_WORD = re.compile(r"\w+")

_SIDES = {"left": "right", "leftmost": "rightmost", "lefthand": "righthand",
          "leftside": "rightside", "leftward": "rightward", "leftwards": "rightwards"}
_MIRRORED = _SIDES | {right: left for left, right in _SIDES.items()}

_GRAMMAR = frozenset("a an and at by from in is of on s the to with".split())


class VocabularyError(UserError):
    """A vocabulary file that cannot be used; the message names the file and the line."""


def split(expression: str) -> list[str]:
    """Split ``expression`` into lower-case words and the punctuation between them.

    "Boat, on the left." becomes ["boat", ",", "on", "the", "left", "."].
    """
    pieces = (" ".join(piece.lower().split()) for piece in _SEPARATOR.split(expression))
    return [piece for piece in pieces if piece]


def tokenize(expression: str) -> list[str]:
    """Split ``expression`` into the encoder's tokens; the list may be empty.

    As in the authors' code a last "." is dropped. A run of punctuation is one token.
    """
    tokens = split(expression)
    return tokens[:-1] if tokens[-1:] == ["."] else tokens


def mirror(expression: str) -> str:
    """Exchange left and right in ``expression``, for a picture turned left to right.

    All other text stays as it is. A "right" that means no side, as in "right behind", is exchanged
    too.
    """
    return _WORD.sub(lambda word: _MIRRORED.get(word[0].lower(), word[0]), expression)


class Vocabulary:
    """The words that have a row in the embedding, in the order of their rows.

    ``words`` starts with ``<pad>``, ``<go>``, ``<eos>``, ``<unk>``. ``len()`` is the number of rows
    that the embedding needs. Raises VocabularyError for other specials, blank or repeated words.
    """

    def __init__(self, words: Iterable[str], source: str | Path = "vocabulary"):
        self.words = tuple(words)
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise VocabularyError(
                f"{source}: the first {len(SPECIALS)} lines are {self.words[:len(SPECIALS)]}, "
                f"expected {SPECIALS}"
            )
        self._index: dict[str, int] = {}
        for number, word in enumerate(self.words):
            if not word or word != " ".join(word.split()):
                raise VocabularyError(
                    f"{source}, line {number + 1}: {word!r}, expected a word, or "
                    "punctuation, without blanks around it and with single ones inside"
                )
            if word in self._index:
                raise VocabularyError(
                    f"{source}, line {number + 1}: {word!r} stands on line "
                    f"{self._index[word] + 1} already; remove one of the two"
                )
            self._index[word] = number

    def __len__(self):
        return len(self.words)

    def __contains__(self, word):
        return word in self._index

    @classmethod
    def build(cls, expressions: Iterable[str], min_count: int = MIN_COUNT) -> "Vocabulary":
        """Collect the tokens that ``expressions`` hold at least ``min_count`` times.

        They are ordered from frequent to rare, equally frequent ones by alphabet. The default of
        two leaves the words seen once to ``<unk>``, which has to occur in training to mean
        anything at test.
        """
        counts = Counter(token for expression in expressions for token in tokenize(expression))
        kept = (
            token
            for token, count in counts.items()
            if count >= min_count and token not in SPECIALS
        )
        return cls(SPECIALS + tuple(sorted(kept, key=lambda token: (-counts[token], token))))

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read a vocabulary of one word a line, UTF-8, with Unix or Windows line ends.

        Raises VocabularyError, which names the file and the line.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise VocabularyError(f"{path}: {error.strerror}; expected one word a line") from error
        except UnicodeDecodeError as error:
            raise VocabularyError(f"{path}: not UTF-8 text ({error})") from error
        lines = text.replace("\r\n", "\n").split("\n")
        return cls(lines[:-1] if lines[-1] == "" else lines, path)

    @property
    def text(self) -> str:
        """One word a line, the form that ``load`` reads."""
        return "".join(f"{word}\n" for word in self.words)

    def save(self, path: str | Path) -> None:
        """Write ``text``."""
        write_text(path, self.text)

    def rows(self, expression: str, length: int = MAX_WORDS) -> list[int]:
        """Return the row numbers of the tokens of ``expression``, from 1 to ``length`` of them.

        Tokens beyond ``length`` are cut. An expression without a token is a single ``<unk>``.
        """
        return [self._index.get(token, UNK) for token in tokenize(expression)][:length] or [UNK]

    def encode(
        self, expression: str, length: int = MAX_WORDS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Turn ``expression`` into the input of the language encoder.

        Returns ``tokens`` int32 (length,), row numbers with ``<pad>`` in front, and
        ``continuation`` float32 (length,): 0 on the padding and on the first word, 1 on later
        words, so that the LSTM starts afresh at the first word and padding never reaches its state.
        """
        rows = self.rows(expression, length)
        tokens = np.full(length, PAD, np.int32)
        tokens[length - len(rows):] = rows
        continuation = np.zeros(length, np.float32)
        continuation[length - len(rows) + 1:] = 1
        return tokens, continuation

    def encode_all(
        self, expressions: Iterable[str], length: int = MAX_WORDS
    ) -> dict[str, np.ndarray]:
        """Encode N ``expressions`` as the columns of what a net takes.

        Returns {"tokens": int32 (length, N), "continuation": float32 (length, N)}.
        """
        encoded = zip(*(self.encode(expression, length) for expression in expressions))
        tokens, continuation = (np.stack(columns, axis=1) for columns in encoded)
        return {"tokens": tokens, "continuation": continuation}

    def outputs(self, expression: str) -> list[int]:
        """Rows of the words that the encoder reads of ``expression``, each once: sorted ints."""
        return sorted(set(self.rows(expression)))

    def known(self, expression: str) -> list[str]:
        """List the words of ``expression`` that have a row, each once; articles and the like not.

        Words beyond MAX_WORDS tokens, which the encoder does not read, do not count.
        """
        return [word for word in _words(expression) if word in self and word not in _GRAMMAR]

    def unknown(self, expression: str) -> list[str]:
        """List the words of ``expression`` without a row, each once; punctuation is no word.

        Words beyond MAX_WORDS tokens, which the encoder does not read, do not count.
        """
        return [word for word in _words(expression) if word not in self]

    @property
    def spoken(self) -> list[str]:
        """The words that have a letter or digit, in the order of their rows; no specials."""
        return list(filter(_is_word, self.words[len(SPECIALS):]))

    def nearest(self, word: str, count: int = 3) -> list[str]:
        """List at most ``count`` of the ``spoken`` words that are spelled like ``word``."""
        return difflib.get_close_matches(word, self.spoken, count, cutoff=0.7)

    def substitute(self, expression: str) -> tuple[str, dict[str, str]]:
        """Replace the words without a row by synonyms that have one, see objseg.data.synonyms.

        Returns the new expression and ``{word: its substitute}``. Words with a row stay as they
        are, and so do those without a known synonym; punctuation and words such as "a" and "of"
        are left out where they have no row.
        """
        kept, found = [], {}
        for token in tokenize(expression):
            other = synonyms.substitute(token, self)
            if other not in (None, token):
                found[token] = other
            if other or _is_word(token) and token not in _GRAMMAR:
                kept.append(other or token)
        return " ".join(kept), found


def _words(expression: str) -> list[str]:
    """List the words among the tokens that the encoder reads, each once."""
    return list(dict.fromkeys(filter(_is_word, tokenize(expression)[:MAX_WORDS])))


def _is_word(token: str) -> bool:
    return any(map(str.isalnum, token))
