"""Sentences of four libraries, numbers to translate, and passages with questions."""

import pytest
import torch

from resnorm_lib.data import load_docstrings, number_in_words, numerals, passages
from resnorm_lib.data.docstrings import LONGEST, NAMES, SHORTEST, words_of
from resnorm_lib.data.numerals import SOURCE_WORDS, digits_of
from resnorm_lib.data.passages import PASSAGE_WORDS, by_overlap, most_frequent


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sentences_are_prose_of_one_library_each():
    docs = load_docstrings()
    assert docs.labels.bincount().min() > 1000
    assert len(set(docs.sentences)) == len(docs.sentences)
    for sentence in docs.sentences[::50]:
        assert SHORTEST <= len(words_of(sentence)) <= LONGEST
        assert not NAMES & set(words_of(sentence))
        assert sentence.isascii()


def test_the_versions_are_told_without_the_build():
    assert f"torch {torch.__version__.partition('+')[0]}" in load_docstrings().source
    assert "+" not in load_docstrings().source


def test_digits_say_the_number_that_the_words_say():
    some = numerals(rng(1), 200, largest=999_999)
    assert len(set(some.numerals)) == 200
    assert digits_of(some.target) == some.numerals
    assert some.words == [number_in_words(int(digits), "german") for digits in some.numerals]
    assert [SOURCE_WORDS[i] for i in some.source[0] if i] == some.words[0].split()


def test_digits_without_an_end_mark_are_no_number():
    assert digits_of(torch.tensor([[1, 4, 5, 0], [1, 4, 2, 0]])) == ["", "1"]


def test_an_answer_is_the_phrase_that_the_question_asks_for():
    some = passages(rng(), 300)
    behind = {"where": "to", "when": "on", "who": "with"}
    for text, tokens, (first, last) in zip(some.texts, some.tokens, some.spans.tolist()):
        words = text.split()
        assert [PASSAGE_WORDS[i] for i in tokens if i] == words
        assert words[first - 1] == behind[words[0]]
        assert words[last + 1] in {*behind.values(), "."}
        assert not {*behind.values(), "."} & {*words[first : last + 1]}


def test_a_place_and_a_person_begin_alike():
    text = next(text for text in passages(rng(), 300).texts if "the old" in text and text.startswith("who"))
    assert text.count(" the ") == 2


def test_overlap_finds_who_and_of_the_others_what_stands_first():
    some = passages(rng(2), 600)
    right = [tuple(span) == by_overlap(text) for text, span in zip(some.texts, some.spans.tolist())]
    who = [text.startswith("who") for text in some.texts]
    assert all(hit for hit, asked in zip(right, who) if asked)
    others = [hit for hit, asked in zip(right, who) if not asked]
    assert abs(sum(others) / len(others) - 1 / 3) < 4 * (2 / 9 / len(others)) ** 0.5  # four standard deviations


def test_the_most_frequent_place_is_counted():
    assert most_frequent(torch.tensor([[1, 2], [3, 3], [1, 2]])) == (1, 2)


@pytest.mark.parametrize("make", [lambda n: passages(rng(), n), lambda n: numerals(rng(), n)])
@pytest.mark.parametrize("n", [0, 2_000_000])
def test_sizes_that_cannot_be_are_refused(make, n):
    with pytest.raises(ValueError, match="n is"):
        make(n)
