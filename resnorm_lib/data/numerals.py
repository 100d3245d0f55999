"""Numbers to translate from words into digits: a task whose every answer is right or wrong."""

from typing import NamedTuple

from torch import Generator, Tensor

from resnorm_lib.data.translation import (
    END,
    GERMAN_VOCABULARY,
    MARKS,
    START,
    as_indices,
    distinct_numbers,
    number_in_words,
)

__all__ = ["DIGITS", "SOURCE_WORDS", "Numerals", "digits_of", "numerals"]

SOURCE_WORDS = GERMAN_VOCABULARY
DIGITS = (*MARKS, *"0123456789")


class Numerals(NamedTuple):
    """Numbers in German words and in digits, as text and as rows of indices."""

    words: list  # n numbers in words, separated by spaces
    numerals: list  # n texts of digits
    source: Tensor  # (n, s) int64: the words, filled up with 0
    target: Tensor  # (n, t) int64: 1, the digits, 2, filled up with 0


def numerals(generator: Generator, n: int, largest: int = 9999) -> Numerals:
    """Return n different numbers in German words and in digits, drawn without repetition.

    German says "zwei und vierzig", two and forty: what is written first is heard last.

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
    >>> import torch
    >>> some = numerals(torch.Generator().manual_seed(0), 1000, largest=999)
    >>> digits_of(some.target)[:3] == some.numerals[:3]
    True
    """
    drawn = distinct_numbers(generator, n, largest)
    words = [number_in_words(number, "german") for number in drawn]
    written = [str(number) for number in drawn]
    source = as_indices([text.split() for text in words], SOURCE_WORDS)
    return Numerals(words, written, source, as_indices([[MARKS[START], *text, MARKS[END]] for text in written], DIGITS))


def digits_of(target: Tensor) -> list[str]:
    """Return the digits in rows of indices (n, t), each up to its first end mark, as texts."""
    rows = target.tolist()
    return ["".join(DIGITS[i] for i in row[: row.index(END)] if i != START) if END in row else "" for row in rows]
