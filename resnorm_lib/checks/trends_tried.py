"""Checks for the exercises of "Trends, tried"."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, several, to_array
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_folded", "check_lens", "check_mixed"]


def _fold(weight: Tensor, bias: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    return weight * gain, bias + weight @ shift


@exercise("exercise-trends-fold", points=1, right=_fold)
def check_folded(answer: Callable[..., tuple[Tensor, Tensor]], face: Draw) -> str:
    """Check ``answer(weight, bias, gain, shift) -> (weight, bias)`` of a linear layer that takes in a norm's gain.

    The verdict is wrong if one of the two is wrong.
    """
    draw = face.generator(0)
    for m, d in face.cases((3, 3), (2, 5), (6, 4), drawn=lambda: (face.integer(2, 7), face.integer(2, 7))):
        weight = torch.randn(m, d, generator=draw, dtype=torch.float64)
        bias, other = torch.randn(2, m, generator=draw, dtype=torch.float64)
        gain, shift = torch.randn(2, d, generator=draw, dtype=torch.float64) + other[0]
        got = several(call(answer, weight, bias, gain, shift), "weight", "bias")
        wrong = [(weight / gain, "A gain multiplies: the folded matrix has it too.")]
        if m == d:
            wrong.append((gain[:, None] * weight, "That scales the rows. The gain belongs to what the matrix reads."))
        expect_close(got[0], weight * gain, "The weight", wrong)
        wrong = [
            (bias, "The norm's bias is lost: the matrix multiplies it, and the result is a part of the new bias."),
            (bias + (weight * gain) @ shift, "The gain multiplies the normalized entries, and not the norm's bias."),
        ]
        if m == d:
            wrong.append((bias + shift, "The norm's bias goes through the matrix first."))
        expect_close(got[1], bias + weight @ shift, "The bias", wrong)
    return "the folded layer"


def _mix(logits: Tensor, n: int) -> Tensor:
    matrices = torch.eye(n, dtype=logits.dtype)[torch.tensor(list(itertools.permutations(range(n))))]
    return (logits.softmax(0)[:, None, None] * matrices).sum(0)


@exercise("exercise-trends-birkhoff", points=2, right=_mix)
def check_mixed(answer: Callable[[Tensor, int], Tensor], face: Draw) -> str:
    """Check ``answer(logits, n)``: the average of all permutation matrices, weighted by softmax(logits).

    The verdict is wrong if the shape, a sum of rows or columns, or an entry is wrong.
    """
    draw = face.generator(1)
    for n in face.cases(2, 3, 4, drawn=lambda: face.integer(3, 5), count=3):
        logits = torch.randn(math.factorial(n), generator=draw, dtype=torch.float64)
        orders = torch.tensor(list(itertools.permutations(range(n))))
        matrices = torch.eye(n, dtype=torch.float64)[orders]
        wanted = (logits.softmax(0)[:, None, None] * matrices).sum(0)
        got = to_array(call(answer, logits, n))
        if got.shape == (n, n) and abs(got.sum() - n) > 1e-4 * n:
            sum_of_all = f"All entries sum to {got.sum():.4g}, but n rows of sum 1 make {n}: take the softmax."
            raise Wrong("The entries do not sum to n: take the softmax." if face.hidden else sum_of_all)
        mistakes = [(wanted.T, "Transposed: row i of a permutation matrix has its 1 in column pi(i).")]
        mistakes.append((torch.full((n, n), 1 / n), "The logits have no effect."))
        expect_close(got, wanted, f"The matrix for n = {n}", mistakes)
    return "an exactly doubly stochastic matrix"


def _lens(streams: list, norm: nn.Module, head: nn.Module) -> Tensor:
    return torch.stack([head(norm(stream)) for stream in streams])


@exercise("exercise-trends-lens", points=2, right=_lens)
def check_lens(answer: Callable[[list, nn.Module, nn.Module], Tensor], face: Draw) -> str:
    """Check ``answer(streams, norm, head)``: what each stream would predict, along a new first axis.

    The verdict is wrong if a norm is missing or belongs to another stream, or if the streams are not kept apart.
    """
    draw = face.generator(2)
    shape, words = (face.size(2), face.size(3), face.size(6)), face.size(4)
    norm, head = nn.LayerNorm(shape[2]), nn.Linear(shape[2], words)  # float32: nobody casts a module
    with torch.no_grad():
        for parameter in (*norm.parameters(), *head.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
        streams = [
            size * torch.randn(shape, generator=draw)
            for size in face.cases(1.0, 3.0, 9.0, drawn=lambda: face.number(1, 9), count=face.integer(2, 5))
        ]
        got = call(answer, streams, norm, head)
        each = [head(norm(stream)) for stream in streams]
        sums = torch.stack(streams).cumsum(0)
        mistakes = [
            (torch.stack([head(stream) for stream in streams]), "The last norm is missing."),
            (torch.stack([norm(stream) for stream in streams]), "The head is missing: these are no logits."),
            (torch.stack([head(norm(total)) for total in sums]), "A stream is already the sum: do not add them up."),
            (torch.cat(each), "Stacked along a new first axis: one entry for each stream."),
            (each[-1], "Every stream gives logits, not only the last."),
        ]
        expect_close(got, torch.stack(each), "The logits", mistakes)
    return "a reading of every stream"
