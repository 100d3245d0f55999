"""Right and wrong answers to the exercises of "Language"."""

import torch
from torch.nn import functional as F

from resnorm_lib.checks import language as checks


def mean_over_words(features, real):
    real = real.unsqueeze(-1)
    return (features * real).sum(1) / real.sum(1)


def token_loss(logits, target, pad):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)


def losses(logits, target, pad):
    """The loss of every token, 0 at padding, and where there is none."""
    each = -logits.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return each * (target != pad), target != pad


def mean_of_means(logits, target, pad):
    each, real = losses(logits, target, pad)
    return (each.sum(1) / real.sum(1)).mean()


def counts(text, words):
    pairs = torch.zeros(words, words, dtype=torch.float64)
    for c, w in zip(text[:-1].tolist(), text[1:].tolist()):
        pairs[c, w] += 1
    return pairs


def nothing_read(text, words, alpha):
    return (text.bincount(minlength=words).double() + alpha / words) / (len(text) + alpha)


def bigram(text, words, alpha):
    pairs = counts(text, words)
    return (pairs + alpha * nothing_read(text, words, alpha)) / (pairs.sum(1, keepdim=True) + alpha)


def with_the_last(text, words, alpha):
    before = text.bincount(minlength=words).double()[:, None]
    return (counts(text, words) + alpha * nothing_read(text, words, alpha)) / (before + alpha)


def unsmoothed_shorter(text, words, alpha):
    pairs, short = counts(text, words), text.bincount(minlength=words) / len(text)
    return (pairs + alpha * short.double()) / (pairs.sum(1, keepdim=True) + alpha)


def uniform(text, words, alpha):
    pairs = counts(text, words)
    return (pairs + alpha / words) / (pairs.sum(1, keepdim=True) + alpha)


def added_to_each(text, words, alpha):
    pairs = counts(text, words)
    return (pairs + alpha) / (pairs.sum(1, keepdim=True) + alpha * words)


def frequencies(text, words, alpha):
    pairs = counts(text, words)
    return pairs / pairs.sum(1, keepdim=True).clamp_min(1)


def undivided(text, words, alpha):
    return counts(text, words) + alpha * nothing_read(text, words, alpha)


def best_span(begin, end, longest):
    pairs = [(i, j) for i in range(len(begin)) for j in range(i, min(i + longest, len(begin)))]
    return max(pairs, key=lambda pair: (begin[pair[0]] + end[pair[1]]).item())


def best_begin_first(begin, end, longest):
    first = int(begin.argmax())
    return first, first + int(end[first : first + longest].argmax())


def shifted(by_first, by_last):
    def answer(begin, end, longest):
        first, last = best_span(begin, end, longest)
        return first + by_first, last + by_last

    return answer


def number_of_words(begin, end, longest):
    first, last = best_span(begin, end, longest)
    return first, last - first + 1


EXERCISES = {
    checks.check_mean_over_words: (
        mean_over_words,
        {
            lambda features, real: features.mean(1): "summed and counted",
            lambda features, real: (features * real.unsqueeze(-1)).mean(1): "not by the length of the row",
            lambda features, real: features.sum(1) / real.sum(1, keepdim=True): "Padding is summed",
            lambda features, real: (features * real.unsqueeze(-1)).sum(1): "That is the sum",
            lambda features, real: features[real].mean(0): "each sentence has its own",
            lambda features, real: (
                (features * real.unsqueeze(-1)).sum(1) / (real.sum(1, keepdim=True) + 1)
            ): "One word too many",
            lambda features, real: (features * real.unsqueeze(-1)).mean(2): "over the features",
            lambda features, real: (
                (features * ~real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True)
            ): "not where padding is",
        },
    ),
    checks.check_token_loss: (
        token_loss,
        {
            lambda logits, target, pad: F.cross_entropy(logits.flatten(0, 1), target.flatten()): "Padding is scored",
            lambda logits, target, pad: losses(logits, target, pad)[0].mean(): "not by all places",
            mean_of_means: "every token counts alike",
            lambda logits, target, pad: losses(logits, target, pad)[0].sum(): "That is the sum",
            lambda logits, target, pad: losses(logits, target, pad)[0].sum(1).mean(): "number of sentences",
            lambda logits, target, pad: token_loss(logits, target, pad) / 0.6931471805599453: "in bits",
            lambda logits, target, pad: token_loss(logits, target, pad).exp(): "perplexity",
            lambda logits, target, pad: token_loss(logits.softmax(-1), target, pad): "softmax too many",
            lambda logits, target, pad: (
                -F.nll_loss(logits.softmax(-1).flatten(0, 1), target.flatten(), ignore_index=pad)
            ): "logarithm is missing",
            lambda logits, target, pad: F.nll_loss(
                logits.flatten(0, 1), target.flatten(), ignore_index=pad
            ): "no log-probabilities",
        },
    ),
    checks.check_bigram: (
        bigram,
        {
            lambda text, words, alpha: bigram(text, words, alpha).T: "axes are exchanged",
            lambda text, words, alpha: counts(text, words): "These are counts",
            frequencies: "Nothing is smoothed",
            unsmoothed_shorter: "smoothed, too",
            uniform: "not uniformly",
            added_to_each: "added to each count",
            with_the_last: "never read",
            undivided: "division",
            lambda text, words, alpha: (
                (counts(text, words) + nothing_read(text, words, alpha)) / (counts(text, words).sum(1)[:, None] + 1)
            ): "alpha is 1",
            lambda text, words, alpha: nothing_read(text, words, alpha).repeat(words, 1): "reads nothing",
        },
    ),
    checks.check_best_span: (
        best_span,
        {
            lambda begin, end, longest: (int(begin.argmax()), int(end.argmax())): "chosen apart",
            lambda begin, end, longest: best_span(begin, end, len(begin)): "longer than allowed|one too many",
            lambda begin, end, longest: best_span(begin, end, longest + 1): "longer than allowed|one too many",
            lambda begin, end, longest: best_span(begin, end, longest - 1): "one more",
            best_begin_first: "best begin is chosen first",
            lambda begin, end, longest: best_span(end, begin, longest): "changed places",
            shifted(0, 1): "not the one behind",
            shifted(1, 1): "counted from 0",
            lambda begin, end, longest: best_span(begin, end, longest)[::-1]: "First the first word",
            number_of_words: "not the number of words",
        },
    ),
}
