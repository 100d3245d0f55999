"""Checks for the exercises of "What BatchNorm does to a batch"."""

from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib.checks.judge.answers import call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.references import expect
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_batches_until", "check_fold", "check_running_after"]


def _steps(kept: float, share: float) -> int:
    if kept >= 1 or share <= 0:
        raise ValueError("What is kept wholly is never forgotten.")
    left, steps = 1.0, 0
    while left > share:
        left, steps = left * kept, steps + 1
    return steps


@exercise("exercise-batch-forget", points=1, right=lambda momentum, share: _steps(1 - momentum, share))
def check_batches_until(answer: Callable, face: Draw) -> str:
    """Check ``answer(momentum, share)``: after how many batches at most this share of the start is left.

    The verdict is wrong if the number is; the message names a momentum read the other way, and a wrong rounding.
    """
    cases = ((0.5, 0.3), (0.1, 0.02), (0.01, 0.02), (0.25, 0.5))
    for momentum, share in face.cases(*cases, drawn=lambda: (face.number(0.02, 0.4), face.number(0.01, 0.6))):
        wanted, other = _steps(1 - momentum, share), _steps(momentum, share)
        expect_close(
            call(answer, momentum, share),
            wanted,
            f"The number of batches for momentum {momentum:g} and share {share:g}",
            mistakes=[
                (wanted - 1, "One batch too few: the share must have been reached, so round up."),
                (other, "The momentum is the share of the new batch; of the old value 1 - momentum is kept."),
            ],
        )
    return "the number of batches until the start is forgotten"


def _folded(
    weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, gain: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    scale = gain / (variance + eps).sqrt()
    return scale[:, None] * weight, scale * (bias - mean) + shift


@exercise("exercise-batch-fold", points=2, right=_folded)
def check_fold(answer: Callable, face: Draw) -> str:
    """Check ``answer(weight, bias, mean, variance, gain, shift, eps) -> (weight, bias)`` of the folded linear layer.

    The verdict is wrong if the one layer does not compute what the two compute. Layers are square, so that a scale on
    the wrong axis raises no error.
    """
    weight = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 3.0], [2.0, 0.0, 1.0]], dtype=torch.float64)
    bias, mean = torch.tensor([[0.5, -1.0, 2.0], [1.0, 2.0, -3.0]], dtype=torch.float64)
    variance, gain, shift = torch.tensor([[4.0, 0.25, 1.0], [2.0, -1.0, 0.5], [0.1, 0.2, -0.3]], dtype=torch.float64)
    eps = 0.01
    if face.hidden:
        size, eps = face.size(3, high=6), face.number(0.02, 0.2)
        weight = face.normal(size, size)
        bias, mean, variance, gain, shift = face.normal(5, size)
        variance = variance.square()
    folded = several(call(answer, weight, bias, mean, variance, gain, shift, eps), "weight", "bias")
    scale = gain / (variance + eps).sqrt()
    expect_close(
        folded[0],
        scale[:, None] * weight,
        "The weight",
        mistakes=[
            (scale * weight, "The scale met the columns of the weight: it belongs to the outputs, its rows."),
            (gain[:, None] / (variance + eps)[:, None] * weight, "The norm divides by the root of variance + eps."),
            (gain[:, None] / variance.sqrt()[:, None] * weight, "eps is missing: the root is of the variance + eps."),
            (weight, "The weight is unchanged: each of its rows is multiplied by the scale of its output."),
        ],
    )
    expect_close(
        folded[1],
        scale * (bias - mean) + shift,
        "The bias",
        mistakes=[
            (bias + shift - scale * mean, "The old bias passes through the norm too: it is scaled as well."),
            (shift - scale * mean, "The bias of the linear layer is lost."),
            (scale * bias + shift, "The running mean is lost."),
            (scale * (bias + mean) + shift, "The running mean is taken off, not added."),
        ],
    )
    return "the folded layer"


def _unbiased(x: Tensor) -> Tensor:
    return x.var((0, 2))


def _running(
    batches: Tensor, momentum: float, spread: Callable[[Tensor], Tensor] = _unbiased, start: tuple = (0.0, 1.0)
) -> tuple[Tensor, Tensor]:
    mean, variance = (torch.full_like(batches[0, 0, :, 0], value) for value in start)
    for x in batches:
        mean = (1 - momentum) * mean + momentum * x.mean((0, 2))
        variance = (1 - momentum) * variance + momentum * spread(x)
    return mean, variance


_STORED = [
    (
        lambda batches, momentum: _running(batches, momentum, lambda x: x.var((0, 2), correction=0)),
        "The variance that is stored is the unbiased one: divide by m - 1.",
    ),
    (
        lambda batches, momentum: _running(batches, 1 - momentum),
        "The momentum is the share of the new batch; of the old value 1 - momentum is kept.",
    ),
    (
        lambda batches, momentum: _running(batches, momentum, start=(0.0, 0.0)),
        "A new layer has the running variance 1, not 0.",
    ),
    (
        lambda batches, momentum: _running(batches, momentum, start=(1.0, 1.0)),
        "A new layer has the running mean 0, not 1.",
    ),
    (
        lambda batches, momentum: _running(batches, momentum, lambda x: x.var(0).mean(1)),
        "The set of a feature is the sentences and the tokens: here each token has a variance of its own.",
    ),
    (
        lambda batches, momentum: _running(batches, momentum, lambda x: x.std((0, 2))),
        "The variance is stored, not its root.",
    ),
    (
        lambda batches, momentum: _running(batches.flip(0), momentum),
        "The batches come in the opposite order: the last one counts most.",
    ),
    (
        lambda batches, momentum: _running(batches[-1:], momentum),
        "The last batch alone counts: what was stored before it is kept in part.",
    ),
    (
        lambda batches, momentum: _running(batches[-1:], 1.0),
        "These are the statistics of the last batch: the running ones remember those before it.",
    ),
]


@exercise("exercise-batch-running", points=2, right=lambda batches, momentum: _running(batches, momentum))
def check_running_after(answer: Callable, face: Draw) -> str:
    """Check ``answer(batches, momentum)``: running mean and variance of a new layer after batches (steps, N, C, L).

    The verdict is wrong if one of them is; the message names the biased variance, a wrong start and a wrong axis.
    """
    sizes = ((1, 2, 3, 2), 0.5), ((4, 3, 2, 2), 0.1)
    for shape, momentum in face.cases(
        *sizes,
        drawn=lambda: (tuple(face.integer(2, high) for high in (6, 4, 4, 4)), face.number(0.05, 0.4)),
    ):
        batches = 2 * torch.randn(shape, generator=face.generator(13), dtype=torch.float64) + face.value(3.0, 2, 5)
        what = ("The running mean", "The running variance")
        expect(answer, lambda x, a: _running(x, a), batches, momentum, what=what, mistakes=_STORED)
    return "the statistics that are stored"
