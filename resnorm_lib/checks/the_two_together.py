"""Checks for the exercises of "The two together"."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from resnorm_lib.checks.judge.answers import call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_pre_norm_stack", "check_stream_size"]

Layer = Callable[[Tensor], Tensor]


def _size(name: str, depth: int, v: float) -> float:
    return {
        "add": (1 + v) ** depth,
        "pre_norm": 1 + v * depth,
        "post_norm": 1.0,
        "sandwich": 1.0 + depth,
        "ln_scaling": 1 + v * sum(1 / block for block in range(1, depth + 1)),
    }[name]


def _size_mistakes(name: str, depth: int, v: float) -> list[tuple[float, str]]:
    sentences = {
        "add": (1 + v * depth, "Without a norm the branch reads the stream as it is, and answers in proportion to it."),
        "pre_norm": (
            (1 + v) ** depth,
            "The norm gives every branch an input of mean square 1, however large the stream.",
        ),
        "post_norm": (
            1 + v,
            "In post_norm the last step of a block is a norm: the stream leaves it with mean square 1.",
        ),
        "sandwich": (1 + v * depth, "The second norm makes the branch's mean square 1, whatever v is."),
        "ln_scaling": (1 + v * depth, "In ln_scaling block l reads the normalized stream over sqrt(l), not all of it."),
    }
    roots = 1 + v * sum(block**-0.5 for block in range(1, depth + 1))
    linear = (depth * v, "The stream starts with mean square 1: q_0 is missing.")
    squares = (roots, "Dividing by sqrt(l) divides the mean square by l.")
    return [sentences[name], linear, *([squares] if name == "ln_scaling" else [])]


@exercise("exercise-stream-size", points=2, right=_size)
def check_stream_size(answer: Callable, face: Draw) -> str:
    """Check ``answer(name, depth, v)``: the mean square of the stream after ``depth`` blocks, 1 at the start.

    The verdict is wrong if a size is wrong.
    """
    for name in ("add", "pre_norm", "post_norm", "sandwich", "ln_scaling"):
        cases = ((0, 0.5), (3, 0.5), (12, 0.25))
        for depth, v in face.cases(*cases, drawn=lambda: (face.integer(2, 15), face.number(0.1, 2))):
            expect_close(
                call(answer, name, depth, v),
                _size(name, depth, v),
                f"The mean square for {name}, depth {depth}, v = {v}",
                mistakes=_size_mistakes(name, depth, v) if depth else (),
            )
    return "the size of the stream"


def _stack(x: Tensor, branches: list[Layer], norms: list[Layer], last_norm: Layer) -> Tensor:
    for branch, norm in zip(branches, norms):
        x = x + branch(norm(x))
    return last_norm(x)


@exercise("exercise-pre-norm-stack", points=2, right=_stack)
def check_pre_norm_stack(answer: Callable, face: Draw) -> str:
    """Check ``answer(x, branches, norms, last_norm)``: a Pre-LN stack.

    The verdict is wrong if the output is that of another network, or ``x`` was changed.
    """
    generator = face.generator(0)
    depth, d = face.size(3, high=5), face.size(6, 4, 9)
    x, *matrices = torch.randn(depth + 1, d, d, generator=generator, dtype=torch.float64)
    gains = torch.rand(depth + 1, d, generator=generator, dtype=torch.float64) + 0.5
    branches = [lambda h, matrix=matrix: torch.relu(h @ matrix) for matrix in matrices]
    *norms, last = [lambda h, gain=gain: F.layer_norm(h, (d,), weight=gain) for gain in gains]
    got = call(answer, x, branches, norms, last)
    blocks = list(zip(branches, norms, strict=True))

    def result(block: Callable[[Tensor, Layer, Layer], Tensor], final: Layer = last) -> Tensor:
        h = x
        for branch, norm in blocks:
            h = block(h, branch, norm)
        return final(h)

    def pre(h: Tensor, branch: Layer, norm: Layer) -> Tensor:
        return h + branch(norm(h))

    def late(h: Tensor, branch: Layer, norm: Layer) -> Tensor:
        return norm(h) + branch(norm(h))

    def post(h: Tensor, branch: Layer, norm: Layer) -> Tensor:
        return norm(h + branch(h))

    mistakes = [
        (result(pre, lambda h: h), "The last norm is missing: the stream leaves the stack as large as it has grown."),
        (result(late), "The shortcut leaves one step too late: it must add the stream as it was before the norm."),
        (result(late, lambda h: h), "The shortcut leaves one step too late, and the last norm is missing."),
        (result(post), "This is Post-LN: the branch must read the norm of the stream, and nothing normalizes the sum."),
        (
            result(post, lambda h: h),
            "This is Post-LN: the branch must read the norm of the stream, and not the stream.",
        ),
        (
            result(lambda h, branch, norm: branch(norm(h))),
            "There is no shortcut: add the stream to what the branch gives.",
        ),
        (result(lambda h, branch, norm: h + branch(h)), "The branches read the stream itself: the norms are not used."),
    ]
    expect_close(got, result(pre), "The output", mistakes=mistakes)
    return "a Pre-LN stack"
