"""Checks for the exercises of "Small batches"."""

from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib.checks.judge.answers import call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_ghosts", "check_pooled"]


def _normal(face: Draw, *shape: int) -> Tensor:
    return 2 + 3 * torch.randn(shape, generator=face.generator(0), dtype=torch.float64)


def _normalized(x: Tensor, axes: int | tuple[int, ...], eps: float, correction: int = 0) -> Tensor:
    var, mean = torch.var_mean(x, axes, correction=correction, keepdim=True)
    return (x - mean) / (var + eps).sqrt()


def _batch(face: Draw) -> tuple[int, int, int, float]:
    """Return rows, rows of a ghost, features, and eps."""
    size = face.integer(2, 6)
    return size * face.integer(2, 4), size, face.integer(2, 6), face.number(0.1, 2)


def _ghosts(x: Tensor, size: int, eps: float) -> Tensor:
    parts = x.reshape(-1, size, x.shape[1])
    centred = parts - parts.mean(1, keepdim=True)
    return (centred / (parts.var(1, correction=0, keepdim=True) + eps).sqrt()).reshape(x.shape)


@exercise("exercise-small-ghosts", points=2, right=_ghosts)
def check_ghosts(answer: Callable, face: Draw) -> str:
    """Check ``answer(x, size, eps)``: batch normalization of x, of shape (N, C), in ghosts of ``size`` rows in order.

    The verdict is wrong if an output is wrong.
    """
    for rows, size, d, eps in face.cases((12, 4, 3, 0.5), (6, 6, 3, 0.3), (8, 2, 4, 0.5), drawn=lambda: _batch(face)):
        x, parts = _normal(face, rows, d), rows // size

        def apart(batch: Tensor, parts: int = parts, size: int = size, d: int = d) -> Tensor:
            return batch.reshape(parts, size, d)

        wanted = _normalized(apart(x), 1, eps).reshape(rows, d)
        deviation = apart(x).std(1, correction=0, keepdim=True)
        outside = (apart(x) - apart(x).mean(1, keepdim=True)) / (deviation + eps)
        mistakes = [
            (_normalized(x, 0, eps), "These are the statistics of the whole batch: cut it into parts first."),
            (
                _normalized(x.reshape(size, parts, d), 0, eps).reshape(rows, d),
                "A ghost must hold rows that follow each other; here it holds rows that stand far apart.",
            ),
            (_normalized(x, 1, eps), "Each row is normalized over its features: that is layer normalization."),
            (
                _normalized(apart(x), (1, 2), eps).reshape(rows, d),
                "Features share a mean here: each must have its own.",
            ),
            (
                _normalized(apart(x), 1, eps, correction=1).reshape(rows, d),
                "The variance is divided by m - 1: a norm divides by m.",
            ),
            (outside.reshape(rows, d), "eps stands beside the root: it belongs under it, with the variance."),
        ]
        # Where one ghost is the whole batch, the right answer is among the mistakes; it is compared first.
        expect_close(call(answer, x, size, eps), wanted, f"The output for {parts} ghosts of {size}", mistakes=mistakes)
    return "ghosts"


def _pooled(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


@exercise("exercise-small-pooled", points=2, right=_pooled)
def check_pooled(answer: Callable, face: Draw) -> str:
    """Check ``answer(means, variances)``: mean and biased variance of all rows, from those of equal parts.

    The verdict is wrong if one of the two is wrong.
    """
    count, rows, d = face.size(5, 3), face.size(4, 3), face.size(3)
    parts = _normal(face, count, rows, d) + torch.arange(count, dtype=torch.float64)[:, None, None]
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
        (variances.mean(0) + means.std(0, correction=0), "A deviation of the means was added: take its square."),
        (variances.mean(0) + means.square().mean(0), "The means are taken from zero: take them from their own mean."),
        (wanted.sqrt(), "This is the deviation: leave the root out."),
        (variances.sum(0) + means.var(0, correction=0), "The variances are summed: average them."),
    ]
    expect_close(got[1], wanted, "The variance", mistakes=mistakes)
    return "pooled statistics"
