"""Numbers in words, in English and in German: a million sentence pairs whose translation is exact.

From 21 on the two languages differ in order: "twenty one" here, "ein und zwanzig" there. So a translation must look at
a later word before it can write an earlier one. German writes a number as one word; it is taken apart here, because a
model reads tokens.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib import _arguments

__all__ = ["Pairs", "number_in_words", "translation_pairs"]

LIMIT = 1_000_000
PAD, START, END = 0, 1, 2
MARKS = ("<pad>", "<start>", "<end>")

# 0 to 19, then 20, 30, ..., 90
ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
GERMAN = (
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"
)
ENGLISH_WORDS, GERMAN_WORDS = tuple(ENGLISH.split()), tuple(GERMAN.split())
# What a model reads and writes; a word is its place here.
ENGLISH_VOCABULARY = (*MARKS, *ENGLISH_WORDS, "hundred", "thousand")
GERMAN_VOCABULARY = (*MARKS, *GERMAN_WORDS, "eins", "und", "hundert", "tausend")


class Pairs(NamedTuple):
    """Sentences in two languages, as words and as numbers."""

    english: list  # n sentences, words separated by a space
    german: list  # n sentences that mean the same
    source: torch.Tensor  # (n, s) int64: the English words, filled up with 0
    target: torch.Tensor  # (n, t) int64: 1, the German words, 2, filled up with 0
    source_words: tuple  # the word that each number of source stands for
    target_words: tuple  # the word that each number of target stands for


def number_in_words(number: int, language: str) -> str:
    """Return an integer from 0 to 999,999 in words, separated by spaces.

    Raises
    ------
    ValueError
        If number is outside that range, or language neither "english" nor "german".

    Examples
    --------
    >>> number_in_words(42_345, "english")
    'forty two thousand three hundred forty five'
    >>> number_in_words(42_345, "german")
    'zwei und vierzig tausend drei hundert fünf und vierzig'
    """
    number = _arguments.positive_int("number", number, at_least=0)
    if number >= LIMIT:
        raise ValueError(f"number is {number}, but it must be less than {LIMIT}.")
    words = _english if _arguments.choice("language", language, ("english", "german")) == "english" else _german
    return " ".join(words(number))


def _english(number: int) -> list[str]:
    if number < 20:
        return [ENGLISH_WORDS[number]]
    if number < 100:
        return [ENGLISH_WORDS[number // 10 + 18], *_rest(_english, number % 10)]
    unit, word = (1000, "thousand") if number >= 1000 else (100, "hundred")
    return [*_english(number // unit), word, *_rest(_english, number % unit)]


def _german(number: int, last: bool = True) -> list[str]:
    """Return the words. 1 is "eins" if it is the last word, and "ein" before another word."""
    if number < 20:
        return ["eins"] if number == 1 and last else [GERMAN_WORDS[number]]
    if number < 100:
        units = [GERMAN_WORDS[number % 10], "und"] if number % 10 else []
        return [*units, GERMAN_WORDS[number // 10 + 18]]
    unit, word = (1000, "tausend") if number >= 1000 else (100, "hundert")
    return [*_german(number // unit, last=False), word, *_rest(lambda rest: _german(rest, last), number % unit)]


def _rest(words: Callable[[int], list[str]], number: int) -> list[str]:
    return words(number) if number else []


def translation_pairs(generator: torch.Generator, n: int, largest: int = LIMIT - 1) -> Pairs:
    """Return n different numbers in words, English and German, drawn without repetition.

    No number comes twice, so any split of the pairs into training and test has no pair in both.

    Parameters
    ----------
    generator : torch.Generator
        On the CPU.
    n : int
        At most ``largest + 1``.
    largest : int
        The largest number; 999,999 at most.

    Raises
    ------
    ValueError
        If n or largest is no positive integer or too large.

    Examples
    --------
    >>> pairs = translation_pairs(torch.Generator().manual_seed(0), 1000)
    >>> pairs.source.shape[0], len(set(pairs.english))
    (1000, 1000)
    >>> [pairs.target_words[i] for i in pairs.target[0] if i > 2] == pairs.german[0].split()
    True
    """
    drawn = distinct_numbers(generator, n, largest)
    english = [number_in_words(number, "english") for number in drawn]
    german = [number_in_words(number, "german") for number in drawn]
    source = as_indices([sentence.split() for sentence in english], ENGLISH_VOCABULARY)
    target = as_indices([[MARKS[START], *sentence.split(), MARKS[END]] for sentence in german], GERMAN_VOCABULARY)
    return Pairs(english, german, source, target, ENGLISH_VOCABULARY, GERMAN_VOCABULARY)


def distinct_numbers(generator: torch.Generator, n: int, largest: int) -> list[int]:
    """Return n different numbers from 0 to ``largest``, in random order; ValueError if there are not so many."""
    largest = _arguments.positive_int("largest", largest)
    if largest >= LIMIT:
        raise ValueError(f"largest is {largest}, but it must be less than {LIMIT}.")
    n = _arguments.positive_int("n", n)
    if n > largest + 1:
        raise ValueError(f"n is {n}, but there are only {largest + 1} numbers from 0 to {largest}.")
    return torch.randperm(largest + 1, generator=generator)[:n].tolist()


def as_indices(sentences: list[list[str]], words: Sequence[str]) -> Tensor:
    """Return sentences as rows of word indices, padded with PAD to the longest."""
    place = {word: i for i, word in enumerate(words)}
    rows = [torch.tensor([place[word] for word in sentence]) for sentence in sentences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
