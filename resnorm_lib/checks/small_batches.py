"""Checks for the exercises of "Small batches"."""

import torch

from resnorm_lib.checks.answers import call, expect_close, several
from resnorm_lib.checks.registry import exercise

__all__ = ["check_ghosts", "check_pooled"]


def _normal(*shape):
    return 2 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _normalized(x, axes, eps, correction=0):
    var, mean = torch.var_mean(x, axes, correction=correction, keepdim=True)
    return (x - mean) / (var + eps).sqrt()


@exercise("exercise-small-ghosts", points=2)
def check_ghosts(answer):
    """Check ``answer(x, size, eps)``: batch normalization of x, of shape (N, C), in ghosts of ``size`` rows in order.

    The verdict is wrong if an output is wrong.
    """
    for rows, size in ((12, 4), (6, 6), (8, 2)):
        x, eps, parts = _normal(rows, 3), 0.5, rows // size

        def apart(batch, parts=parts, size=size):
            return batch.reshape(parts, size, 3)

        wanted = _normalized(apart(x), 1, eps).reshape(rows, 3)
        deviation = apart(x).std(1, correction=0, keepdim=True)
        outside = (apart(x) - apart(x).mean(1, keepdim=True)) / (deviation + eps)
        mistakes = [
            (_normalized(x, 0, eps), "These are the statistics of the whole batch: cut it into parts first."),
            (
                _normalized(x.reshape(size, parts, 3), 0, eps).reshape(rows, 3),
                "A ghost must hold rows that follow each other; here it holds rows that stand far apart.",
            ),
            (_normalized(x, 1, eps), "Each row is normalized over its features: that is layer normalization."),
            (
                _normalized(apart(x), (1, 2), eps).reshape(rows, 3),
                "Features share a mean here: each must have its own.",
            ),
            (
                _normalized(apart(x), 1, eps, correction=1).reshape(rows, 3),
                "The variance is divided by m - 1: a norm divides by m.",
            ),
            (outside.reshape(rows, 3), "eps stands beside the root: it belongs under it, with the variance."),
        ]
        # Where one ghost is the whole batch, the right answer is among the mistakes; it is compared first.
        expect_close(call(answer, x, size, eps), wanted, f"The output for {parts} ghosts of {size}", mistakes=mistakes)
    return "ghosts"


@exercise("exercise-small-pooled", points=2)
def check_pooled(answer):
    """Check ``answer(means, variances)``: mean and biased variance of all rows, from those of equal parts.

    The verdict is wrong if one of the two is wrong.
    """
    parts = _normal(5, 4, 3) + torch.arange(5, dtype=torch.float64)[:, None, None]
    means, variances = parts.mean(1), parts.var(1, correction=0)
    everything = parts.flatten(0, 1)
    got = several(call(answer, means, variances), "mean", "variance")
    expect_close(
        got[0], everything.mean(0), "The mean", mistakes=[(means.sum(0), "The means are summed: average them.")]
    )
    wanted = everything.var(0, correction=0)
    mistakes = [
        (
            variances.mean(0),
            "The means of the parts differ too: their variance is missing.",
        ),
        (
            variances.mean(0) + means.var(0),
            "The variance of the means is divided by one less than the number of parts.",
        ),
        (means.var(0, correction=0), "This is the variance of the means alone."),
        (wanted.sqrt(), "This is the deviation: leave the root out."),
        (variances.sum(0) + means.var(0, correction=0), "The variances are summed: average them."),
    ]
    expect_close(got[1], wanted, "The variance", mistakes=mistakes)
    return "pooled statistics"
