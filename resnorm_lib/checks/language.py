"""Checks for the exercises of "Language"."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from resnorm_lib.checks.judge.answers import call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_best_span", "check_bigram", "check_mean_over_words", "check_token_loss"]

PAD = 0


def _lengths(face: Draw, rows: int, longest: int) -> Tensor:
    """Return lengths of which one is the longest and one is shorter."""
    drawn = [face.integer(1, longest) for _ in range(rows - 2)]
    return torch.tensor([longest, *drawn, face.integer(1, longest - 2)])


def _mean(features: Tensor, real: Tensor) -> Tensor:
    return torch.where(real.unsqueeze(-1), features, 0.0).sum(1) / real.sum(1, keepdim=True)


@exercise("exercise-language-mean", points=1, right=_mean)
def check_mean_over_words(answer: Callable[[Tensor, Tensor], Tensor], face: Draw) -> str:
    """Check ``answer(features, real)``: each sentence of (n, T, d), averaged over the places where real (n, T).

    The verdict is wrong if padding is summed or counted.
    """
    fixed = [(3, 5, 2), (4, 6, 3)]
    for rows, places, dim in face.cases(
        *fixed, drawn=lambda: (face.integer(3, 6), face.integer(5, 9), face.integer(2, 6))
    ):
        features = face.normal(rows, places, dim) + 1
        real = torch.arange(places) < _lengths(face, rows, places)[:, None]
        count, kept = real.sum(1, keepdim=True), features * real.unsqueeze(-1)
        expect_close(
            call(answer, features.clone(), real.clone()),
            kept.sum(1) / count,
            "The mean",
            mistakes=[
                (features.mean(1), "Padding is summed and counted: leave it out."),
                (kept.mean(1), "Divide by the number of words that are there, not by the length of the row."),
                (features.sum(1) / count, "Padding is summed: put 0 in its place first."),
                (kept.sum(1), "That is the sum: divide it by the number of words that are there."),
                (kept.sum((0, 1)) / count.sum(), "One mean for all sentences: each sentence has its own."),
                (kept.sum(1) / (count + 1), "One word too many is counted."),
                (kept.mean(2), "That is a mean over the features: it must be over the words."),
                (
                    (features * ~real.unsqueeze(-1)).sum(1) / count,
                    "real is True where a word is, not where padding is.",
                ),
            ],
        )
    return "the mean over the words that are there"


def _loss(logits: Tensor, target: Tensor, pad: int) -> Tensor:
    each = -logits.log_softmax(-1).gather(-1, target[..., None])[..., 0]
    return each[target != pad].mean()


@exercise("exercise-language-loss", points=2, right=_loss)
def check_token_loss(answer: Callable[[Tensor, Tensor, int], Tensor], face: Draw) -> str:
    """Check ``answer(logits, target, pad)``: the mean cross-entropy in nats over all targets that are not pad.

    The verdict is wrong if padding is scored, or if sentences and not tokens count alike.
    """
    for rows, places, words in face.cases(
        (3, 5, 4), (4, 6, 5), drawn=lambda: (face.integer(3, 6), face.integer(5, 9), face.integer(4, 8))
    ):
        pad = face.integer(0, words - 1) if face.hidden else PAD
        logits = 2 * face.normal(rows, places, words)
        real = torch.arange(places) < _lengths(face, rows, places)[:, None]
        drawn = [[(pad + face.integer(1, words - 1)) % words for _ in range(places)] for _ in range(rows)]
        target = torch.where(real, torch.tensor(drawn), pad)
        each = -logits.log_softmax(-1).gather(-1, target[..., None])[..., 0]
        right, kept = each[real].mean(), each * real
        probability = (-each).exp()
        twice = F.cross_entropy(logits.softmax(-1)[real], target[real])
        expect_close(
            call(answer, logits.clone(), target.clone(), pad),
            right,
            "The loss",
            mistakes=[
                (each.mean(), "Padding is scored: leave out the places where the target is pad."),
                (kept.mean(), "Divide by the number of targets that count, not by all places."),
                ((kept.sum(1) / real.sum(1)).mean(), "That is a mean of sentences' means: every token counts alike."),
                (kept.sum(), "That is the sum: the mean is asked for."),
                (kept.sum(1).mean(), "Divide by the number of tokens, not by the number of sentences."),
                (right / torch.tensor(2.0).log(), "That is in bits: use the natural logarithm."),
                (right.exp(), "That is the perplexity: leave the exponential away."),
                (twice, "A softmax too many: cross_entropy takes logits."),
                (probability[real].mean(), "The logarithm is missing: that is the mean probability."),
                (-probability[real].mean().log(), "First the logarithm, then the mean."),
                (-logits.gather(-1, target[..., None])[..., 0][real].mean(), "Logits are no log-probabilities yet."),
            ],
        )
    return "each token that is there counts once"


def _bigram(text: Tensor, words: int, alpha: float) -> Tensor:
    pairs = torch.zeros(words, words, dtype=torch.float64)
    pairs.index_put_((text[:-1], text[1:]), torch.ones(1, dtype=torch.float64), accumulate=True)
    short = (text.bincount(minlength=words).double() + alpha / words) / (len(text) + alpha)
    return (pairs + alpha * short) / (pairs.sum(1, keepdim=True) + alpha)


@exercise("exercise-language-table", points=2, right=_bigram)
def check_bigram(answer: Callable[[Tensor, int, float], Tensor], face: Draw) -> str:
    """Check ``answer(text, words, alpha)``: p(w | c) for all pairs (c, w), smoothed with the table that reads nothing.

    The verdict is wrong if a count, the smoothing, or the order of the axes is another.
    """
    for number, (words, length, alpha) in enumerate(
        face.cases(
            (3, 20, 5.0), (4, 30, 2.0), drawn=lambda: (face.integer(3, 5), face.integer(20, 40), face.number(1, 6))
        )
    ):
        text = torch.randint(words, (length,), generator=face.generator(number + 1)) ** 2 % words
        pairs = torch.zeros(words, words, dtype=torch.float64)
        pairs.index_put_((text[:-1], text[1:]), torch.ones(1, dtype=torch.float64), accumulate=True)
        single = text.bincount(minlength=words).double()
        short, bare = (single + alpha / words) / (length + alpha), single / length
        before = pairs.sum(1, keepdim=True)
        right = (pairs + alpha * short) / (before + alpha)
        expect_close(
            call(answer, text.clone(), words, alpha),
            right,
            "The table",
            mistakes=[
                (right.T, "Rows are what was read, columns what comes next: the axes are exchanged."),
                (pairs, "These are counts: make probabilities of them."),
                ((pairs / before).nan_to_num(), "Nothing is smoothed: add alpha times the shorter table."),
                ((pairs + alpha * bare) / (before + alpha), "The shorter table is smoothed, too, by the uniform one."),
                (
                    (pairs + alpha / words) / (before + alpha),
                    "Smooth with the table that reads nothing, not uniformly.",
                ),
                ((pairs + alpha) / (before + alpha * words), "alpha is added to each count: add alpha p(w)."),
                (
                    (pairs + alpha * short) / (single[:, None] + alpha),
                    "The last character was never read: n(c) has it.",
                ),
                (pairs + alpha * short, "The division by n(c) + alpha is missing."),
                ((pairs + short) / (before + 1), "alpha is 1 here, whatever is given."),
                (short.expand_as(right), "That is the table that reads nothing."),
            ],
        )
    return "a table that fills its gaps"


def _span(begin: Tensor, end: Tensor, longest: int) -> tuple[int, int]:
    begin, end = begin.tolist(), end.tolist()
    pairs = [(i, j) for i in range(len(begin)) for j in range(i, min(i + longest, len(begin)))]
    return max(pairs, key=lambda pair: begin[pair[0]] + end[pair[1]])


@exercise("exercise-language-span", points=2, right=_span)
def check_best_span(answer: Callable[[Tensor, Tensor, int], tuple[int, int]], face: Draw) -> str:
    """Check ``answer(begin, end, longest)``: first and last word of the best span of at most ``longest`` words.

    The verdict is wrong if the end may come first, a span may be longer, or begin and end are chosen apart.
    """
    for number, longest in enumerate(face.cases(3, 2, 4, drawn=lambda: face.integer(2, 4))):
        begin, end = _hard_logits(face.generator(10 * number), longest, face.size(10, 8, 14))
        got = several(call(answer, begin.clone(), end.clone(), longest), "first", "last")
        first, last = _span(begin, end, longest)
        apart = begin.argmax().item(), end.argmax().item()
        expect_close(
            got,
            (first, last),
            f"The span of at most {longest} words",
            mistakes=[
                (apart, "Begin and end are chosen apart: look for the pair with the largest sum."),
                (_span(begin, end, len(begin)), "The span is longer than allowed."),
                (_span(begin, end, longest + 1), "A span from first to last has last - first + 1 words: one too many."),
                (_span(begin, end, longest - 1), "A span may have as many words as longest says: one more."),
                (_greedy(begin, end, longest), "The best begin is chosen first: look at all pairs."),
                (
                    _greedy(end.flip(0), begin.flip(0), longest, len(begin)),
                    "The best end is chosen first: try all pairs.",
                ),
                (_span(end, begin, longest), "begin and end have changed places."),
                ((first, last + 1), "The last word itself is asked for, not the one behind it."),
                ((first + 1, last + 1), "Places are counted from 0."),
                ((last, first), "First the first word, then the last."),
                ((first, last - first + 1), "The place of the last word is asked for, not the number of words."),
            ],
            tolerance=1e-6,
        )
    return "begin and end, chosen together"


def _hard_logits(draw: torch.Generator, longest: int, words: int) -> tuple[Tensor, Tensor]:
    """Return logits for which every mistake gives another span, and the right span has more than one word."""
    while True:
        begin, end = torch.randn((2, words), generator=draw, dtype=torch.float64)
        spans = [
            _span(begin, end, longest),
            (begin.argmax().item(), end.argmax().item()),
            _span(begin, end, words),
            _span(begin, end, longest + 1),
            _span(begin, end, longest - 1),
            _greedy(begin, end, longest),
        ]
        first, last = spans[0]
        if spans[0] not in spans[1:] and last > first:
            return begin, end


def _greedy(begin: Tensor, end: Tensor, longest: int, mirrored: int = 0) -> tuple[int, int]:
    """Return the best begin and the best end behind it; or, from the other side, of ``mirrored`` words."""
    first = begin.argmax().item()
    last = first + end[first : first + longest].argmax().item()
    return (mirrored - 1 - last, mirrored - 1 - first) if mirrored else (first, last)
