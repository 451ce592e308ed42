import json
import os
from pathlib import Path

import numpy as np
import pytest

from objseg.data.expressions import (
    GO,
    PAD,
    SPECIALS,
    UNK,
    Vocabulary,
    VocabularyError,
    mirror,
    split,
    tokenize,
)
from objseg.data.synonyms import read_table
from objseg.files import REPOSITORY

SHARED = Path(os.environ.get("OBJSEG_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture
def referit():
    folder = SHARED / "referit"
    if not folder.is_dir():
        pytest.skip(f"the real ReferIt annotations are not in {folder}")
    return folder


@pytest.mark.parametrize("expression, tokens", [
    ("Red car", ["red", "car"]),
    ("  the boat, on the left. ", ["the", "boat", ",", "on", "the", "left"]),
    ("guy's hat", ["guy", "'", "s", "hat"]),
    ("wait. . what", ["wait", ". .", "what"]),
    ("sky.\r\n.sea", ["sky", ". .", "sea"]),
    ("two  blanks\tand a tab", ["two", "blanks", "and", "a", "tab"]),
    ("what?", ["what", "?"]),
    ("hm...", ["hm", "..."]),
    ("snake_case 2nd", ["snake_case", "2nd"]),
    ("café ™", ["café", "™"]),
    ("...", ["..."]),
    (".", []),
    ("", []),
    (" \t\r\n", []),
])
def test_tokens_follow_the_authors_rules(expression, tokens):
    assert tokenize(expression) == tokens


def test_split_keeps_the_last_full_stop_that_tokenize_drops():
    assert split("The sky.") == ["the", "sky", "."]
    assert tokenize("The sky.") == ["the", "sky"]


def test_a_vocabulary_goes_from_frequent_to_rare_and_then_by_alphabet():
    vocabulary = Vocabulary.build(["the sky", "the sea", "a sea, a sky", "one"], min_count=1)
    assert vocabulary.words == SPECIALS + ("a", "sea", "sky", "the", ",", "one")
    assert Vocabulary.build(["sea sky", "sky"]).words == SPECIALS + ("sky",)
    assert len(Vocabulary.build([])) == len(SPECIALS)


def test_a_vocabulary_does_not_depend_on_the_order_of_expressions():
    expressions = ["b a", "c b", "a c d", "d, e"]
    assert Vocabulary.build(expressions, 1).words == Vocabulary.build(expressions[::-1], 1).words


def test_save_and_load_return_the_same_words(tmp_path):
    vocabulary = Vocabulary.build(['say ". . café ™ ,"'], min_count=1)
    vocabulary.save(tmp_path / "words.txt")
    assert Vocabulary.load(tmp_path / "words.txt").words == vocabulary.words


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_load_accepts_windows_line_ends_and_a_missing_last_one(tmp_path, ends, last):
    path = tmp_path / "words.txt"
    path.write_bytes((ends.join(SPECIALS + ("sky",)) + ends * last).encode())
    assert Vocabulary.load(path).words == SPECIALS + ("sky",)


@pytest.mark.parametrize("content, message", [
    (b"", "words.txt: the first 4 lines"),
    (b"<go>\n<pad>\n<eos>\n<unk>\n", "words.txt: the first 4 lines"),
    (b"<pad>\n<go>\n<eos>\n<unk>\nsky\n\nsea\n", "words.txt, line 6: ''"),
    (b"<pad>\n<go>\n<eos>\n<unk>\nsky\n\n", "words.txt, line 6: ''"),
    (b"<pad>\n<go>\n<eos>\n<unk>\nsky \n", "words.txt, line 5: 'sky '"),
    (b"<pad>\n<go>\n<eos>\n<unk>\nsky\nsea\nsky\n", "words.txt, line 7: 'sky' stands on line 5"),
    (b"<pad>\n<go>\n<eos>\n<unk>\n<unk>\n", "line 5: '<unk>' stands on line 4"),
    (b"<pad>\n<go>\n<eos>\n<unk>\ncaf\xe9\n", "words.txt: not UTF-8"),
])
def test_a_bad_vocabulary_names_the_file_and_the_line(tmp_path, content, message):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(VocabularyError, match=message):
        Vocabulary.load(tmp_path / "words.txt")


def test_a_missing_vocabulary_names_the_file(tmp_path):
    with pytest.raises(VocabularyError, match="none.txt: No such file"):
        Vocabulary.load(tmp_path / "none.txt")


def test_encode_pads_in_front_and_starts_the_state_at_the_first_word():
    vocabulary = Vocabulary.build(["red car"] * 2)
    tokens, continuation = vocabulary.encode("a red car", length=5)
    red, car = vocabulary.words.index("red"), vocabulary.words.index("car")
    assert tokens.tolist() == [PAD, PAD, UNK, red, car]
    assert continuation.tolist() == [0, 0, 0, 1, 1]
    assert (tokens.dtype, continuation.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("expression", ["", "  ", "."])
def test_an_expression_without_a_token_is_one_unknown_word(expression):
    tokens, continuation = Vocabulary(SPECIALS).encode(expression)
    assert tokens.tolist() == [PAD] * 19 + [UNK]
    assert not continuation.any()


@pytest.mark.parametrize("words", [1, 19, 20, 21, 500])
def test_every_length_fits_and_the_end_is_cut(words):
    vocabulary = Vocabulary.build(["w0 w1"] * 2)
    tokens, continuation = vocabulary.encode("w0 " + "w1 " * (words - 1))
    kept = min(words, 20)
    assert tokens.shape == continuation.shape == (20,)
    assert (tokens != PAD).sum() == kept and tokens[20 - kept] == vocabulary.words.index("w0")
    assert continuation.sum() == kept - 1


def test_words_like_the_specials_cannot_name_them():
    # "<go>" is split into "<", "go", ">", so nobody types a special.
    tokens, _ = Vocabulary.build(["x"], 1).encode("<go>")
    assert GO not in tokens


def test_all_real_expressions_are_tokenised(referit):
    expressions = {
        part: [
            expression
            for region in json.loads((referit / f"referit_query_{part}.json").read_text()).values()
            for expression in region
        ]
        for part in ("trainval", "test")
    }
    everything = expressions["trainval"] + expressions["test"]
    assert len(everything) == 120081
    assert sum(len(split(expression)) > 20 for expression in everything) == 82
    # Two of the 82 are brought to 20 tokens by dropping the final full stop.
    assert sum(len(tokenize(expression)) > 20 for expression in everything) == 80
    assert all(map(tokenize, everything))

    vocabulary = Vocabulary.build(expressions["trainval"])
    assert len(vocabulary) == 2617
    assert len(Vocabulary.build(expressions["trainval"], min_count=1)) == 5649  # at most 8,803
    for expression in everything:
        tokens, continuation = vocabulary.encode(expression)
        kept = min(20, len(tokenize(expression)))
        assert (tokens[:-kept] == PAD).all() and (tokens[-kept:] >= UNK).all()
        assert continuation.sum() == kept - 1


def test_the_authors_vocabulary_is_accepted(referit):
    vocabulary = Vocabulary.load(referit / "vocabulary_referit.txt")
    assert len(vocabulary) == 8803
    tokens, _ = vocabulary.encode("people on the left, in front")
    assert UNK not in tokens


# Words that a vocabulary lacks


@pytest.fixture
def couch():
    return Vocabulary([*SPECIALS, "on", "the", "couch", "person", "car", "left", "shoes", ",", "2"])


def test_known_and_unknown_words_are_each_named_once(couch):
    assert couch.unknown("The zebra, the zebras; person 2 3!") == ["zebra", "zebras", "3"]
    assert couch.known("The zebra, person on PERSON 2") == ["person", "2"]  # no article
    assert couch.unknown("...") == couch.known("on the") == couch.unknown("") == []
    beyond = "car " * 20 + "zebra"
    assert couch.unknown(beyond) == [] and couch.known(beyond) == ["car"]


def test_the_nearest_words_are_those_of_like_spelling(couch):
    assert couch.nearest("persons") == ["person"]
    assert couch.nearest("cars, lefts", 1) == [] and couch.nearest("xylophone") == []
    words = Vocabulary([*SPECIALS, *(f"tree{n}" for n in range(9))])
    assert len(words.nearest("tree")) == 3 and len(words.nearest("tree", 5)) == 5
    assert not set(words.nearest("<unk>", 9)) & set(SPECIALS)


def test_spoken_words_go_by_row_without_specials_and_punctuation(couch):
    assert couch.spoken == ["on", "the", "couch", "person", "car", "left", "shoes", "2"]


@pytest.mark.parametrize("expression, read, substitutes", [
    ("Sofa on the LEFT.", "couch on the left", {"sofa": "couch"}),
    ("sofas, cars", "couch , car", {"sofas": "couch", "cars": "car"}),
    ("guy with a shoe", "person shoes", {"guy": "person", "shoe": "shoes"}),  # guy, man, person
    ("the guy's zebra!", "the person zebra", {"guy": "person"}),
    ("of a ...", "", {}),
    ("Women", "person", {"women": "person"}),
    ("people", "person", {"people": "person"}),
    ("zebra", "zebra", {}),
    ("couch, person", "couch , person", {}),
    ("", "", {}),
])
def test_unknown_words_are_replaced_by_synonyms_with_a_row(couch, expression, read, substitutes):
    assert couch.substitute(expression) == (read, substitutes)


def test_the_first_alternative_of_a_line_and_the_nearest_line_win():
    words = Vocabulary([*SPECIALS, "person", "man", "road", "ground"])
    assert words.substitute("guy street") == ("man road", {"guy": "man", "street": "road"})


@pytest.mark.parametrize("word", ["is", "his", "as", "grass", "dress", "bus"])
def test_an_s_that_is_no_plural_stays(word):
    rows = {word[:-1], word[:-2]} - {""}
    assert Vocabulary([*SPECIALS, *rows]).substitute(word)[1] == {}


def test_the_table_of_synonyms_is_clean():
    table = read_table()
    for word, others in table.items():
        assert word not in others and len(others) == len(set(others)) > 0, word
        assert all(tokenize(text) == [text] and text.isalnum() for text in (word, *others)), word


def test_each_synonym_is_found_when_it_alone_has_a_row():
    for word, others in read_table().items():
        for other in others:
            assert Vocabulary([*SPECIALS, other]).substitute(word) == (other, {word: other})


def test_the_real_expressions_keep_their_words(referit):
    """Keep what has a row and the order; what replaces another word has a row."""
    words = Vocabulary.load(referit / "vocabulary_referit.txt")
    expressions = json.loads((referit / "referit_query_test.json").read_text()).values()
    for expression in [text for texts in expressions for text in texts][:5000]:
        read, substitutes = words.substitute(expression)
        assert not substitutes or set(substitutes) <= set(words.unknown(expression))
        assert set(substitutes.values()) <= set(words.words)
        tokens = [substitutes.get(token, token) for token in tokenize(expression)]
        left_out = {token for token in tokens if token not in words}
        assert [t for t in tokens if t in words] == [t for t in tokenize(read) if t in words]
        assert set(tokenize(read)) - set(words.words) <= left_out


# Left and right


@pytest.mark.parametrize("expression, mirrored", [
    ("person on the left", "person on the right"),
    ("leftmost car, far right.", "rightmost car, far left."),
    ("Left-hand side", "right-hand side"),
    ("bright leftover", "bright leftover"),
    ("left of right", "right of left"),
    ("", ""),
])
def test_mirroring_exchanges_left_and_right_alone(expression, mirrored):
    assert mirror(expression) == mirrored


def test_mirroring_twice_changes_no_token(referit):
    expressions = json.loads((referit / "referit_query_test.json").read_text()).values()
    changed = 0
    for expression in [text for texts in expressions for text in texts]:
        once = mirror(expression)
        assert tokenize(mirror(once)) == tokenize(expression)
        pairs = list(zip(tokenize(expression), tokenize(once), strict=True))
        assert all(("left" in word or "right" in word) for word, new in pairs if word != new)
        changed += once != expression
    assert changed > 10000  # a fifth or more of the expressions names a side
