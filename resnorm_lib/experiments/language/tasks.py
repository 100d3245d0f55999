"""The four tasks: which library a sentence is from, the next character, a number in digits, a span that answers."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib import runtime
from resnorm_lib.data import load_docstrings, numerals, passages
from resnorm_lib.data.docstrings import words_of
from resnorm_lib.data.passages import PASSAGE_WORDS
from resnorm_lib.data.translation import as_indices

__all__ = ["Task", "answering", "classifying", "translating", "writing"]

WINDOW = 32  # characters that the language model reads
KNOWN = 1500  # words that the classifier knows; all others are one


class Task(NamedTuple):
    """Inputs and targets for training, for choosing a rate, and for the test."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    words: int  # of the vocabulary that is read


def _cut(x: Tensor, y: Tensor, words: int, val: int, test: int) -> Task:
    """Return the last rows as test, those before as validation, and the rest as training data."""
    sizes = [len(x) - val - test, val, test]
    (a, b, c), (p, q, r) = x.split(sizes), y.split(sizes)
    return Task(a, p, b, q, c, r, words)


@lru_cache(2)
def classifying(seed: int, train: int = 3000) -> Task:
    """Return sentences as rows of word indices (n, 24), and the number of the library that each is from."""
    rows, labels = _sentences(seed)
    texts = [words_of(row) for row in rows[: train + 1500]]
    known = _most_frequent([word for text in texts[:train] for word in text])
    words = ("<pad>", "<other>", *known)
    inside = frozenset(known)
    x = as_indices([[word if word in inside else "<other>" for word in text] for text in texts], words)
    return _cut(x, labels[: train + 1500], len(words), 500, 1000)


def _sentences(seed: int) -> tuple[list[str], Tensor]:
    """Return the sentences of the docstrings in random order, with their labels."""
    found = load_docstrings()
    order = torch.randperm(len(found.sentences), generator=runtime.generator(seed))
    return [found.sentences[i] for i in order.tolist()], found.labels[order]


def _most_frequent(words: list[str]) -> list[str]:
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:KNOWN]


@lru_cache(2)
def writing(seed: int) -> Task:
    """Return the sentences, one a line, as windows of 32 characters, and the same windows one character later.

    Training windows begin at every character, the others one behind the other.
    """
    text = "\n".join(_sentences(seed)[0])
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    ids = torch.tensor([number[character] for character in text])
    train = ids[: 9 * len(ids) // 10].unfold(0, WINDOW + 1, 1)
    rest = ids[9 * len(ids) // 10 :].unfold(0, WINDOW + 1, WINDOW)
    val, test = rest[:500], rest[500:1500]
    return Task(train[:, :-1], train[:, 1:], val[:, :-1], val[:, 1:], test[:, :-1], test[:, 1:], len(alphabet))


@lru_cache(2)
def translating(seed: int, train: int = 2000, largest: int = 9999) -> Task:
    """Return numbers in German words, beside the digits so far, and the digits that come next."""
    found = numerals(runtime.generator(seed), train + 1500, largest)
    both = torch.cat((found.source, found.target[:, :-1]), 1)
    return _cut(both, found.target[:, 1:], found.source.shape[1], 500, 1000)


@lru_cache(2)
def answering(seed: int, train: int = 8000) -> Task:
    """Return questions with their passages (n, 19), and the first and the last word of each answer (n, 2)."""
    found = passages(runtime.generator(seed), train + 1500)
    return _cut(found.tokens, found.spans, len(PASSAGE_WORDS), 500, 1000)
