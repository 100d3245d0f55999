"""Checks for the exercises of "What BatchNorm does to a batch"."""

from collections.abc import Callable

import torch

from resnorm_lib.checks.answers import call, expect_close, several
from resnorm_lib.checks.face import Draw
from resnorm_lib.checks.registry import exercise

__all__ = ["check_batches_until", "check_fold", "check_merged_statistics"]


def _steps(kept, share):
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


def _folded(weight, bias, mean, variance, gain, shift, eps):
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


def _merged(mean_a, var_a, m_a, mean_b, var_b, m_b):
    share = m_a / (m_a + m_b)
    between = share * (1 - share) * (mean_a - mean_b) ** 2
    return share * mean_a + (1 - share) * mean_b, share * var_a + (1 - share) * var_b + between


@exercise("exercise-batch-merge", points=2, right=_merged)
def check_merged_statistics(answer: Callable, face: Draw) -> str:
    """Check ``answer(mean_a, var_a, m_a, mean_b, var_b, m_b) -> (mean, variance)`` of two parts of a batch.

    The verdict is wrong if mean or biased variance of the whole are wrong.
    """
    whole = torch.tensor([1.0, 3.0, 4.0, 4.0, 9.0, 15.0, 2.0, 10.0], dtype=torch.float64)
    if face.hidden:
        whole = 3 * face.normal(face.integer(7, 20)) + face.number(-5, 5)
    for size in face.cases(2, 4, drawn=lambda: face.integer(2, len(whole) - 2)):
        a, b = whole[:size], whole[size:]
        (mean_a, var_a), (mean_b, var_b) = ((part.mean(), part.var(correction=0)) for part in (a, b))
        mean, variance = several(call(answer, mean_a, var_a, len(a), mean_b, var_b, len(b)), "mean", "variance")
        expect_close(
            mean,
            whole.mean(),
            f"The mean of {len(a)} and {len(b)} entries",
            mistakes=[((mean_a + mean_b) / 2, "The larger part counts more: weight the means with the sizes.")],
        )
        within = (len(a) * var_a + len(b) * var_b) / len(whole)
        expect_close(
            variance,
            whole.var(correction=0),
            f"The variance of {len(a)} and {len(b)} entries",
            mistakes=[
                (within, "The spread between the two means is missing: the parts lie in different places."),
                ((var_a + var_b) / 2, "The mean of the two variances leaves out sizes and the spread of the means."),
                (whole.var(correction=1), "The biased variance was asked for: divide by m, not by m - 1."),
            ],
        )
    return "the statistics of two halves of a batch"
