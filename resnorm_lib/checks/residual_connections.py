"""Checks for the exercises of "Residual connections"."""

from collections.abc import Callable

import torch

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, several, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_concat_weights", "check_residual_backward", "check_safe_add"]


def _weights(dim: int, growth: int, depth: int) -> int:
    return growth * (depth * dim + growth * (depth * (depth - 1) // 2))


@exercise("exercise-concat-weights", points=1, right=_weights)
def check_concat_weights(answer: Callable, face: Draw) -> str:
    """Check ``answer(dim, growth, depth)``: numbers in the matrices of a concatenating stack.

    The verdict is wrong if a count is wrong.
    """
    cases = ((5, 2, 3), (64, 12, 1), (64, 12, 40), (16, 3, 100))
    for dim, growth, depth in face.cases(*cases, drawn=lambda: tuple(face.integer(2, high) for high in (99, 30, 50))):
        pairs = depth * (depth - 1) // 2
        expect_close(
            call(answer, dim, growth, depth),
            growth * (depth * dim + growth * pairs),
            f"The count for dim={dim}, growth={growth}, depth={depth}",
            mistakes=[
                (
                    depth * dim * growth,
                    "Every block reads as if it were the first: the stream grows by growth a block.",
                ),
                (
                    growth * (depth * dim + growth * (pairs + depth)),
                    "One growth too many: the first block reads dim features, nothing has been appended yet.",
                ),
                (
                    depth * dim**2,
                    "That is the sum's count: a branch to be concatenated writes growth features, not dim.",
                ),
            ],
            tolerance=0,
        )
    return "the weights of a concatenating stack"


def _back(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return dy + (dy @ weight) * (x > 0), dy.T @ x.relu()


@exercise("exercise-residual-backward", points=2, right=_back, without=("autograd",))
def check_residual_backward(answer: Callable, face: Draw) -> str:
    """Check ``answer(dy, x, weight) -> (dx, dweight)`` for y = x + ReLU(x) W', rows of x being samples.

    The verdict is wrong if a gradient is wrong.
    """
    draw = face.generator(8)
    for rows, dim in face.cases((1, 2), (5, 3), drawn=lambda: (face.integer(1, 6), face.integer(2, 6))):
        dy, x = torch.randn(2, rows, dim, generator=draw, dtype=torch.float64)
        weight = torch.randn(dim, dim, generator=draw, dtype=torch.float64)
        x[0, 0], x[0, 1] = 1.0, -1.0
        result = several(call(answer, dy, x, weight), "dx", "dweight")
        active = (x > 0).to(x.dtype)
        through, a = (dy @ weight) * active, x.clamp(min=0)
        expect_close(
            result[0],
            dy + through,
            "dx",
            mistakes=[
                (through, "dx lacks the identity term: x reaches y past the branch too, so dy must be added."),
                (dy, "dx has the identity term alone: the branch reads x as well."),
                (dy + dy @ weight, "dx lets a gradient through where the ReLU was off: multiply by x > 0."),
                (dy + (dy @ weight.T) * active, "dx has the transposed matrix: y = x + ReLU(x) W', so dy meets W."),
                ((dy + dy @ weight) * active, "The ReLU stands in the branch alone: the identity term has no mask."),
            ],
        )
        expect_close(
            result[1],
            dy.T @ a,
            "dweight",
            mistakes=[
                (a.T @ dy, "dweight is transposed: row i of W makes feature i of the branch."),
                (dy.T @ x, "dweight is made from x, but the matrix multiplies ReLU(x)."),
            ],
        )
    return "the backward pass of a residual block"


@exercise("exercise-safe-add", points=1)
def check_safe_add(answer: Callable, face: Draw) -> str:
    """Check ``answer(stream, branch)``: the sum of two tensors of one shape, and a ValueError for any others.

    The verdict is wrong if it adds what it must refuse, refuses what it must add, or changes its arguments.
    """
    for shape in face.cases((2, 3), (2, 1, 3), (4,), drawn=lambda: tuple(face.integer(1, 4) for _ in range(3))):
        stream, branch = face.normal(2, *shape)
        expect_close(call(answer, stream, branch), stream + branch, "The sum of two tensors of one shape")
    rows, d = face.size(2, high=5), face.size(3, 6, 9)
    for shape in ((rows, 1), (1, d), (d,), (), (1, rows, d), (d, rows)):
        try:
            result = answer(torch.zeros(rows, d), torch.zeros(shape))
        except ValueError:
            continue
        except Exception as error:
            named = f"{type(error).__name__}, but it must be a ValueError."
            raise shown_wrong(f"For {(rows, d)} and {shape} it raises {named}") from None
        if isinstance(result, type | Exception) or result is None:
            raise Wrong("For unequal shapes the ValueError must be raised, not returned, printed or swallowed.")
        if tuple(result.shape) == shape:
            raise shown_wrong(f"A branch of shape {shape} changed the shape of a stream of shape {(rows, d)}.")
        raise shown_wrong(f"A branch of shape {shape} was added to a stream of shape {(rows, d)} without an error.")
    return "a sum that never broadcasts"
