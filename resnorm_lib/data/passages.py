"""One-sentence passages with a question that a span of them answers: where, when, or who."""

import random
from collections import Counter
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from resnorm_lib._arguments import positive_int
from resnorm_lib.data.translation import as_indices

__all__ = ["PASSAGE_WORDS", "Passages", "by_overlap", "most_frequent", "passages"]

NAMES = ("anna", "ben", "carl", "clara", "emil", "emma", "felix", "hugo", "ida", "julia", "leo", "maria")
QUESTIONS = {
    "where": ("where", "did", "{}", "go", "?"),
    "when": ("when", "did", "{}", "go", "?"),
    "who": ("who", "went", "with", "{}", "?"),
}
PLACES = ("attic", "bakery", "cellar", "garden", "hall", "kitchen", "library", "market", "museum", "station")
PEOPLE = ("baker", "boy", "doctor", "farmer", "girl", "guest", "neighbour", "teacher")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KINDS, TIMES = ("old", "new", "big", "small"), ("morning", "evening")
BEFORE = {"where": "to", "when": "on", "who": "with"}
REST = ("did", "go", "?", "went", ".", "the", *BEFORE.values())
PASSAGE_WORDS = ("<pad>", *QUESTIONS, *NAMES, *PLACES, *PEOPLE, *DAYS, *KINDS, *TIMES, *REST)


class Passages(NamedTuple):
    """Questions, each followed by its passage, and where in them the answers stand."""

    texts: list  # n texts, words separated by spaces
    tokens: Tensor  # (n, t) int64, filled up with 0
    spans: Tensor  # (n, 2) int64: first and last word of the answer


def passages(generator: Generator, n: int) -> Passages:
    """Return n different questions with their passages.

    "where did ida go ? ida went on monday to the old hall with the boy ." A place and a person begin alike, "the old",
    and the three phrases come in any order.

    Parameters
    ----------
    generator : torch.Generator
        On the CPU.
    n : int
        A million at most; there are ten million.

    Raises
    ------
    ValueError
        If n is no positive integer or too large.

    Examples
    --------
    >>> some = passages(torch.Generator().manual_seed(0), 100)
    >>> some.tokens.shape[0], len(set(some.texts))
    (100, 100)
    """
    if positive_int("n", n) > 1_000_000:
        raise ValueError(f"n is {n}, but it must be at most a million.")
    draw = random.Random(int(torch.randint(2**62, (), generator=generator)))
    found: dict[str, tuple[int, int]] = {}
    while len(found) < n:
        text, span = _passage(draw)
        found[text] = span
    tokens = as_indices([text.split() for text in found], PASSAGE_WORDS)
    return Passages(list(found), tokens, torch.tensor(list(found.values())))


def _passage(draw: random.Random) -> tuple[str, tuple[int, int]]:
    """Return a question with its passage, and the first and the last place of the answer."""
    asked, name = draw.choice(list(QUESTIONS)), draw.choice(NAMES)
    answers = {
        "where": ["the", *_perhaps(draw, KINDS), draw.choice(PLACES)],
        "when": [draw.choice(DAYS), *_perhaps(draw, TIMES)],
        "who": ["the", *_perhaps(draw, KINDS), draw.choice(PEOPLE)],
    }
    words, span = [*(word.format(name) for word in QUESTIONS[asked]), name, "went"], (0, 0)
    for kind in draw.sample(list(answers), 3):
        words.append(BEFORE[kind])
        if kind == asked:
            span = len(words), len(words) + len(answers[kind]) - 1
        words += answers[kind]
    return " ".join([*words, "."]), span


def _perhaps(draw: random.Random, words: tuple) -> list[str]:
    """Return one of the words in one of two cases, otherwise none."""
    return [draw.choice(words)] if draw.random() < 0.5 else []


def most_frequent(spans: Tensor) -> tuple[int, int]:
    """Return the span (first, last) that occurs most often among spans (n, 2): an answer without reading."""
    return Counter(map(tuple, spans.tolist())).most_common(1)[0][0]


def by_overlap(text: str) -> tuple[int, int]:
    """Return the phrase behind the last word of the passage that also stands in the question.

    Examples
    --------
    >>> by_overlap("where did ida go ? ida went on monday to the old hall with the boy .")
    (8, 8)
    >>> by_overlap("who went with ida ? ida went on monday to the old hall with the boy .")
    (14, 15)
    """
    words = text.split()
    start, borders = words.index("?") + 1, {*BEFORE.values(), "."}
    first = max(i for i in range(start, len(words)) if words[i] in words[:start]) + 1
    while words[first] in {"went", *borders}:
        first += 1
    return first, next(i for i in range(first, len(words)) if words[i] in borders) - 1
