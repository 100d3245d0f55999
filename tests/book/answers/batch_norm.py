"""Right and wrong answers to the exercises of "What BatchNorm does to a batch"."""

import math

import torch

from resnorm_lib.checks import batch_norm


def batches_until(momentum, share, rounded=math.ceil):
    return rounded(math.log(share) / math.log1p(-momentum))


def fold(weight, bias, mean, variance, gain, shift, eps, power=0.5):
    scale = gain / (variance + eps) ** power
    return (scale * weight.T).T, scale * bias - scale * mean + shift


def folded(weight, bias, mean, variance, gain, shift, eps, of_weight=None, of_bias=None):
    """Fold, but with another weight or bias, each made from the scale."""
    right = fold(weight, bias, mean, variance, gain, shift, eps)
    scale = gain / (variance + eps).sqrt()
    return (of_weight(scale, weight) if of_weight else right[0]), (
        of_bias(scale, bias, mean, shift) if of_bias else right[1]
    )


def running_after(batches, momentum, of_variance=lambda x: x.var((0, 2)), start=1.0):
    mean, variance = torch.zeros(batches.shape[2]), torch.full(batches.shape[2:3], start)
    for x in batches:
        mean = mean + momentum * (x.mean((0, 2)) - mean)
        variance = variance + momentum * (of_variance(x) - variance)
    return mean, variance


def variance_by(of_variance):
    return lambda batches, momentum: running_after(batches, momentum, of_variance)


EXERCISES = {
    batch_norm.check_batches_until: (
        batches_until,
        {
            lambda a, share: batches_until(a, share, math.floor): "round up",
            lambda a, share: batches_until(1 - a, share): "share of the new batch",
        },
    ),
    batch_norm.check_fold: (
        fold,
        {
            lambda *a: folded(*a, of_weight=lambda s, w: s * w): "met the columns",
            lambda *a: fold(*a, power=1): "divides by the root",
            lambda *a: fold(*a[:-1], 0.0): "eps is missing",
            lambda *a: folded(*a, of_bias=lambda s, c, mu, b: s * (c + mu) + b): "taken off, not added",
            lambda *a: folded(*a, of_weight=lambda s, w: w): "The weight is unchanged",
            lambda *a: folded(*a, of_bias=lambda s, c, mu, b: c - s * mu + b): "scaled as well",
            lambda *a: folded(*a, of_bias=lambda s, c, mu, b: b - s * mu): "bias of the linear layer is lost",
            lambda *a: folded(*a, of_bias=lambda s, c, mu, b: s * c + b): "running mean is lost",
            lambda *a: fold(*a)[0]: "must return . values",
            lambda *a: fold(*a)[::-1]: "another order",
            lambda *a: folded(*a, of_bias=lambda s, c, mu, b: s * (c - mu)): "that of a shift of zeros",
        },
    ),
    batch_norm.check_running_after: (
        running_after,
        {
            variance_by(lambda x: x.var((0, 2), correction=0)): "the unbiased one",
            variance_by(lambda x: x.std((0, 2))): "not its root",
            variance_by(lambda x: x.var(0).mean(1)): "the sentences and the tokens",
            variance_by(lambda x: x.square().mean((0, 2))): r"is \S+ at",
            lambda b, a: running_after(b, 1 - a): "the share of the new batch",
            lambda b, a: running_after(b, a, start=0.0): "running variance 1",
            lambda b, a: running_after(b.flip(0), a): "the last one counts most",
            lambda b, a: running_after(b[-1:], a): "The last batch alone",
            lambda b, a: running_after(b[-1:], 1.0): "of the last batch|remember",
            lambda b, a: running_after(b, a)[::-1]: "another order|exchanged",
            lambda b, a: running_after(b, a)[1]: "must return . values",
        },
    ),
}
