"""Checks for the exercises of "Numbers that go wrong"."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from resnorm_lib._precision import HALF
from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong, to_array
from resnorm_lib.checks.judge.face import Draw, current
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_lost_share", "check_scaled_rms_norm", "check_shifted_variance", "check_stochastic_round"]


def _lost(stream: Tensor, branch: Tensor) -> Tensor:
    given = branch != 0
    return (stream + branch == stream)[given].double().mean()


@exercise("exercise-numbers-lost", points=1, right=_lost)
def check_lost_share(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(stream, branch)``: the share of the increments other than 0 that leave the stream as it was.

    The verdict is wrong if a share is wrong in bfloat16, float16 or float32.
    """
    draw = face.generator(3)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        shape = face.size(4), face.size(500, 400, 600)
        stream = (300 * torch.randn(shape, generator=draw)).to(dtype)
        branch = torch.randn(shape, generator=draw).to(dtype)
        branch[:, ::5] = 0
        unchanged, given = stream + branch == stream, branch != 0
        expect_close(
            call(answer, stream, branch),
            (unchanged & given).double().sum() / given.sum(),
            f"The share in {dtype}",
            mistakes=[
                (unchanged.double().mean(), "An increment of 0 is not lost: count only entries where it is not 0."),
                ((unchanged & given).double().mean(), "Divide by the number of increments that are not 0."),
                ((~unchanged & given).double().sum() / given.sum(), "That is the share that arrives."),
                (0.0, "The sum is formed in a wider format: add in the dtype of the stream."),
            ],
        )
    return "the share of the increments that is lost"


@exercise("exercise-numbers-shifted", points=2, right=lambda x: x.double().var(-1, correction=0))
def check_shifted_variance(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x)``: the biased variance of each row of a float32 x, from shifted sums.

    The verdict is wrong if a variance is wrong, with an offset or without.
    """
    rows, places = face.size(6, 3), face.size(512, 300, 700)
    x = torch.randn(rows, places, generator=face.generator(4))
    wanted = x.double().var(-1, correction=0)
    expect_close(
        call(answer, x),
        wanted,
        "The variance of each row",
        mistakes=[
            (x.double().var(-1), "The biased variance was asked for: divide by n, not by n - 1."),
            (wanted.sqrt(), "That is the standard deviation."),
            ((x - x[:, :1]).double().square().mean(-1), "The square of the mean of the shifted numbers is missing."),
        ],
        tolerance=1e-4,
    )
    far = x + torch.tensor([0.0, 1e4, -1e4, 3e3, 1e4, 100.0, -3e3])[:rows, None]
    got, wanted = to_array(call(answer, far)), to_array(far.double().var(-1, correction=0))
    if not (abs(got / wanted - 1) < 1e-3).all():
        raise Wrong("With offsets up to 10,000 it still cancels: shift every row by a number of its own, then square.")
    beyond = 2.0**30 + 64 * (torch.arange(places)[None] % 3)  # neighbours of float32 are 64 apart there
    got, wanted = to_array(call(answer, beyond)), to_array(beyond.double().var(-1, correction=0))
    if not (abs(got / wanted - 1) < 1e-3).all():
        raise Wrong(
            "With an offset of a thousand million, squares of x cancel in float64 too, and a mean of x is rounded "
            "before it is subtracted: shift every row by a number that is known before the pass, one of its entries."
        )
    return "one pass that does not cancel"


class _Widened(TorchFunctionMode):
    """Remember whether any operation returned float32 or float64."""

    seen = False

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.is_floating_point() and result.dtype not in HALF:
            self.seen = True
        return result


def _rms(x: Tensor, eps: float) -> Tensor:
    return x.double() / (x.double().square().mean(-1, keepdim=True) + eps).sqrt()


@exercise("exercise-numbers-scaled-rms", points=2, right=_rms)
def check_scaled_rms_norm(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x, eps)``: RMSNorm without gain of the rows of a float16 x, in float16 alone.

    The verdict is wrong if a row is wrong, large, tiny or 0, or if anything is widened.
    """
    row = torch.linspace(-1, 1, 64).pow(3).add(0.1)
    sizes, eps = (1.0, 3e4, 1e-3, 0.0), 1e-5
    if face.hidden:
        row = torch.linspace(-1, 1, face.size(64, 40, 90)).pow(3).add(0.1)
        row = row[torch.randperm(len(row), generator=face.generator(5))] * face.number(0.8, 1.1)
        sizes, eps = (
            (1.0, 3e4, 1e-3, 0.0, *(face.number(1, 9) for _ in range(face.integer(0, 2)))),
            face.number(1e-5, 1e-4),
        )
    for size in sizes:
        mistakes = [(torch.zeros(1, len(row)), "A row becomes 0: its square overflows. Scale it first.")]
        _check_in_float16(answer, size * row[None], eps, f"A row of size {size:g}", mistakes)
    together, what = (
        torch.tensor(sizes)[:, None] * row,
        "With rows of all these sizes together, each scaled by its own t,",
    )
    _check_in_float16(answer, together, eps, f"{what} the output")
    return "RMSNorm in float16 for every size"


def _check_in_float16(
    answer: Callable[..., Tensor], x: Tensor, eps: float, what: str, mistakes: Sequence[tuple] = ()
) -> None:
    x = x.half()
    exact = x.double()
    top = exact.abs().amax(-1, keepdim=True).clamp(min=eps**0.5)
    unscaled_eps = (exact / top) / ((exact / top).square().mean(-1, keepdim=True) + eps).sqrt()
    with _Widened() as mode:
        got = call(answer, x, eps)
    if mode.seen:
        raise Wrong("An operation returned float32: this exercise has float16 alone.")
    if not np.isfinite(to_array(got)).all():
        what = "The output" if current().hidden else what
        raise Wrong(f"{what} has inf or NaN: is something divided by 0, or squared too early?")
    expect_close(
        got,
        exact / (exact.square().mean(-1, keepdim=True) + eps).sqrt(),
        what,
        mistakes=[
            *mistakes,
            (unscaled_eps, "The row was scaled and eps was not: divide it by the square of the scale."),
        ],
        tolerance=2.0**-8,
    )


@exercise("exercise-numbers-stochastic", points=3)
def check_stochastic_round(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x, noise)``: float32 rounded to bfloat16 at random, with noise from 0 to 65535 in int32.

    The verdict is wrong if a result is no neighbour of x, or if the mean over all noise is not x.
    """
    noise = torch.arange(65536, dtype=torch.int32)
    cases = (1.001, -1.001, 3.14159274, 2.0**-20 * 1.3)
    exact = 2.0 ** face.integer(-5, 5) if face.hidden else 1.0  # bfloat16 has it
    for number in (exact, *face.cases(*cases, drawn=lambda: 2.0 ** face.integer(-9, 9) * face.number(-2, 2), count=2)):
        x = torch.full((65536,), number)
        got = call(answer, x, noise)
        if getattr(got, "dtype", None) != torch.bfloat16:
            raise Wrong("The answer must return a tensor of dtype bfloat16.")
        _check_neighbours(set(got.double().unique().tolist()), number, x[:1].view(torch.int32) & -65536)
        what = f"The mean over all noise, relative to {number:.6g},"
        expect_close(got.double().mean() / x[0].double(), 1.0, what, tolerance=1e-7)
    return "rounding that is right on average"


def _check_neighbours(values: set[float], number: float, bits: Tensor) -> None:
    """Raise unless ``values`` are the two bfloat16 neighbours of ``number``; ``bits`` are those of the one below."""
    below, above = (part.view(torch.float32).item() for part in (bits, bits + 65536))
    if number == below and values != {number}:
        raise shown_wrong(f"{number} is a bfloat16 already and must stay as it is.")
    if not values <= {below, above}:
        raise shown_wrong(f"{number:.6g} must become one of its neighbours {below:.6g} and {above:.6g}.")
    if number != below and len(values) == 1:
        raise shown_wrong(f"{number:.6g} becomes {values.pop():.6g} whatever the noise is: that is no random rounding.")
