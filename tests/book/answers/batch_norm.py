"""Right and wrong answers to the exercises of "What BatchNorm does to a batch"."""

import math

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


def merge(mean_a, var_a, m_a, mean_b, var_b, m_b):
    m = m_a + m_b
    mean = (m_a * mean_a + m_b * mean_b) / m
    squares = (m_a * (var_a + mean_a**2) + m_b * (var_b + mean_b**2)) / m
    return mean, squares - mean**2


def merge_within(mean_a, var_a, m_a, mean_b, var_b, m_b):
    return merge(mean_a, var_a, m_a, mean_b, var_b, m_b)[0], (m_a * var_a + m_b * var_b) / (m_a + m_b)


def merge_unbiased(*statistics):
    mean, variance = merge(*statistics)
    m = statistics[2] + statistics[5]
    return mean, variance * m / (m - 1)


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
    batch_norm.check_merged_statistics: (
        merge,
        {
            merge_within: "spread between the two means is missing",
            merge_unbiased: "divide by m, not by m - 1",
            lambda a, va, m, b, vb, k: ((a + b) / 2, va): "weight the means",
            lambda *a: merge(*a)[1]: "must return . values",
        },
    ),
}
