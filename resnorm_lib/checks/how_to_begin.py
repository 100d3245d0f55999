"""Checks for the exercises of "How to begin"."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, several, shown_wrong, to_array
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = [
    "check_branch_factor",
    "check_gpt2_std",
    "check_measured_factors",
    "check_own_constants",
    "check_rate_factor",
]


def _factor(growth: float, branches: int, v: float, place: str) -> float:
    each = growth ** (1 / branches) - 1 if place == "no norm" else (growth - 1) / branches
    return math.sqrt(each / v)


def _stack(face: Draw) -> tuple[float, int, float]:
    """Return growth, branches, and what a branch adds."""
    return face.number(1.5, 9), face.integer(2, 60), face.number(0.2, 3)


@exercise("exercise-begin-factor", points=2, right=_factor)
def check_branch_factor(answer: Callable[..., float], face: Draw) -> str:
    """Check ``answer(growth, branches, v, place)``: the factor on the branch that lets the mean square grow so much.

    The verdict is wrong if a factor is wrong for a stack without a norm or for a pre-norm stack.
    """
    for place, other in (("no norm", "pre-norm"), ("pre-norm", "no norm")):
        cases = ((4.0, 24, 0.5), (2.0, 100, 1.0), (3.0, 1, 2.0), (9.0, 7, 0.2))
        for growth, branches, v in face.cases(*cases, drawn=lambda: _stack(face)):
            wanted = _factor(growth, branches, v, place)
            expect_close(
                call(answer, growth, branches, v, place),
                wanted,
                f"The factor for growth {growth:g}, {branches} branches, v = {v:g}, {place},",
                mistakes=[
                    (wanted**2, "That is the square of the factor: a factor s adds s^2 v."),
                    (
                        _factor(growth, branches, v, other),
                        "Without a norm each branch answers to the grown stream and the growths multiply; with one "
                        "it adds the same amount each time.",
                    ),
                    (
                        math.sqrt(math.log(growth) / (branches * v)),
                        "ln g is an approximation for many branches: the root of g is exact.",
                    ),
                    (wanted * math.sqrt(v), "Divide by v, what the branch itself adds."),
                    (wanted * v, "A factor s adds s^2 v: divide by v under the root."),
                    (_factor(growth**2, branches, v, place), "growth is already that of the mean square."),
                    ((growth / branches / v) ** 0.5, "The stream has its own share: the branches add growth - 1."),
                ],
            )
    return "the factor for a wanted growth"


def _gpt2_std(name: str, layers: int, sigma: float) -> float:
    return sigma / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else sigma


@exercise("exercise-begin-gpt2", points=1, right=_gpt2_std)
def check_gpt2_std(answer: Callable[..., float], face: Draw) -> str:
    """Check ``answer(name, layers, sigma)``: the standard deviation with which GPT-2 draws a weight.

    The verdict is wrong if a weight that writes into the stream is not scaled, or one that does not is.
    """
    inner = ("wte.weight", "wpe.weight", "h.{}.attn.c_attn.weight", "h.{}.mlp.c_fc.weight")
    cases = ((12, 0.02), (48, 0.02), (3, 0.1))
    for layers, sigma in face.cases(*cases, drawn=lambda: (face.integer(5, 99), face.number(0.01, 0.2))):
        scaled = sigma / math.sqrt(2 * layers)
        for pattern in ("h.{}.attn.c_proj.weight", "h.{}.mlp.c_proj.weight", *inner):
            name, mistakes = pattern.format(layers - 1), [(scaled, "This weight does not write into the stream.")]
            if pattern not in inner:
                mistakes = [
                    (sigma, "This weight writes into the stream and must be scaled."),
                    (sigma / math.sqrt(layers), "A layer adds to the stream twice: count 2 layers branches."),
                    (sigma / (2 * layers), "Independent branches add their variances: take the root."),
                ]
            wanted = sigma if pattern in inner else scaled
            what = f"The standard deviation of {name} in {layers} layers"
            expect_close(call(answer, name, layers, sigma), wanted, what, mistakes)
    return "the start of GPT-2"


def _rate(times: float, a: float, optimizer: str) -> float:
    return times ** ({"sgd": 2, "adam": 1}[optimizer] * a - 1)


@exercise("exercise-begin-rate", points=2, right=_rate)
def check_rate_factor(answer: Callable[..., float], face: Draw) -> str:
    """Check ``answer(times, a, optimizer)``: the factor on the rate when a stack gets so many times as many branches.

    The branches are multiplied by L^-a. The verdict is wrong if a factor is wrong for "sgd" or for "adam".
    """
    for optimizer, own in (("sgd", 2), ("adam", 1)):
        for times in face.cases(4.0, 8.0, drawn=lambda: face.number(3, 20)):
            for a in face.cases(0.5, 1.0, 0.0, 0.75, drawn=lambda: face.number(0.1, 0.9)):
                wanted = times ** (own * a - 1)
                expect_close(
                    call(answer, times, a, optimizer),
                    wanted,
                    f"The factor for {times:g} times the depth, a = {a:g}, {optimizer},",
                    mistakes=[
                        (1 / wanted, "That is what a step of one rate changes: the rate must undo it."),
                        (
                            times ** ((3 - own) * a - 1),
                            "SGD's step carries the factor in front of the branch once more: it is proportional to "
                            "the gradient. Adam's is not.",
                        ),
                        (times ** (own * a), "There are more branches, too, and their steps add up."),
                        (times ** (own * a - 0.5), "Steps go the same way: they add up like L, not like its root."),
                    ],
                )
    return "the learning rate at another depth"


@exercise("exercise-begin-measured", points=3)
def check_measured_factors(answer: Callable[..., list[float]], face: Draw) -> str:
    """Check ``answer(branches, x, growth)``: factors that let every block of a stack without norms grow alike on x.

    The verdict is wrong if the mean square of the stream does not grow by growth^(1/L) in each of L blocks.
    """
    draw = face.generator(7)
    cases = ((5, 2.0, 6), (12, 1.5, 16))
    for depth, growth, dim in face.cases(
        *cases, drawn=lambda: (face.integer(3, 9), face.number(1.3, 3), face.integer(7, 12))
    ):
        matrices = torch.randn(depth, dim, dim, generator=draw, dtype=torch.float64)
        branches = [lambda h, matrix=matrix: (h @ matrix).relu() for matrix in matrices]
        x = torch.randn(face.size(20, 15, 30), dim, generator=draw, dtype=torch.float64)
        factors = to_array(call(answer, branches, x, growth))
        if factors.shape != (depth,):
            one = "One factor for each of the branches was expected"
            raise shown_wrong(f"{one}: {depth} numbers, got shape {factors.shape}.", f"{one}.")
        wanted = growth ** (1 / depth)
        expect_close(
            _growths(branches, x, factors),
            torch.full((depth,), wanted),
            f"The growth of the mean square in each of {depth} blocks",
            mistakes=[
                (
                    _growths(branches, x, _roughly(branches, x, wanted)),
                    "The product of stream and branch is not zero on one batch: mean((h + s f)^2) has three terms.",
                ),
                (
                    _growths(branches, x, _exactly(branches, x, wanted, follow=False)),
                    "Block l reads the stream that blocks 1 to l - 1 have left, not x.",
                ),
                (torch.full((depth,), growth), "growth is that of the whole stack: each block gets its L-th root."),
            ],
            tolerance=5e-4,  # a growth is close to 1, and in float32 what it adds has lost digits
        )
        if not (factors > 0).all():
            raise Wrong("A factor is negative: take the positive root of the quadratic equation.")
    return "factors from one batch"


def _read(x: Tensor, place: str) -> Tensor:
    """Return what the branches read when they are measured."""
    return layer_norm(x, x.shape[-1:]) if place == "pre-norm" else x / x.square().mean().sqrt()


def _change(branches: int, growth: float, v: float, place: str, optimizer: str) -> float:
    """Return by how much a step of rate 1 changes the loss, with the factor for this growth."""
    return branches * _factor(growth, branches, v, place) ** {"sgd": 2, "adam": 1}[optimizer]


def _own(
    layers: list[list[Callable]], x: Tensor, growth: float, place: str, optimizer: str, tuned: tuple[int, float]
) -> tuple[int, float, float, float]:
    branches = [branch for layer in layers for branch in layer]
    v = sum(branch(_read(x, place)).square().mean().item() for branch in branches) / len(branches)
    rate = (
        tuned[1] * _change(tuned[0], growth, v, place, optimizer) / _change(len(branches), growth, v, place, optimizer)
    )
    return len(branches), v, _factor(growth, len(branches), v, place), rate


@exercise("exercise-begin-choose", points=3, right=_own)
def check_own_constants(answer: Callable[..., tuple[int, float, float, float]], face: Draw) -> str:
    """Check ``answer(layers, x, growth, place, optimizer, tuned)``: the constants of a network that no paper describes.

    The verdict is wrong if the branches, what one of them adds, the factor or the rate is.
    """
    draw = face.generator(9)
    for place, other in (("no norm", "pre-norm"), ("pre-norm", "no norm")):
        for optimizer in ("sgd", "adam"):
            counts = [face.value(count, 1, 3) for count in (2, 2, 1)] if not face.hidden else _counts(face)
            dim = face.size(8, 5, 12)
            layers = [[_branch(draw, dim) for _ in range(count)] for count in counts]
            x = 2 + 3 * torch.randn(face.size(20, 15, 30), dim, generator=draw, dtype=torch.float64)
            growth, tuned = (
                face.value(3.0, 1.5, 6),
                (face.integer(2, 3) if face.hidden else 2, face.value(0.1, 0.01, 0.3)),
            )
            got = several(call(answer, layers, x, growth, place, optimizer, tuned), "L", "v", "s", "rate")
            _expect_constants(got, layers, x, (growth, place, other, optimizer, tuned))
    return "the constants of a network without a paper"


def _counts(face: Draw) -> list[int]:
    """Return how many branches each layer has: not one each, and more than are tuned."""
    return [face.integer(2, 3), *(face.integer(1, 3) for _ in range(face.integer(2, 4)))]


def _branch(draw: torch.Generator, dim: int) -> Callable[[Tensor], Tensor]:
    first, second = torch.randn(2, dim, dim, generator=draw, dtype=torch.float64)
    return lambda h: (h @ first).relu() @ second / dim


def _expect_constants(got: tuple, layers: list[list[Callable]], x: Tensor, asked: tuple) -> None:
    growth, place, other, optimizer, (shallow, rate) = asked
    L, v, s, wanted = _own(layers, x, growth, place, optimizer, (shallow, rate))
    written = [[branch(_read(x, place)).square().mean().item() for branch in layer] for layer in layers]
    raw = [branch(x).square().mean().item() for layer in layers for branch in layer]
    change, either = wanted / rate, {"sgd": "adam", "adam": "sgd"}[optimizer]
    expect_close(got[0], L, "L", [(len(layers), "L counts what is added to the stream: branches, not layers.")])
    expect_close(
        got[1],
        v,
        "v",
        [
            (sum(raw) / L, "Give the branches a batch of mean square 1, not x as it is."),
            (
                _own(layers, x, growth, other, optimizer, (shallow, rate))[1],
                "The branches of this stack read another x.",
            ),
            (written[0][0], "That is v of the first branch: take the mean over all of them."),
            (v * L, "v is the mean over the branches, not their sum."),
            (v * L / len(layers), "v is what one branch adds, not a layer."),
            (math.sqrt(v), "v is a mean square, not its root."),
        ],
    )
    expect_close(
        got[2],
        s,
        "s",
        [
            (s**2, "That is the square of the factor: a factor s adds s^2 v."),
            (_factor(growth, L, v, other), "Growths multiply without a norm and add up with one in the branch."),
            (s * math.sqrt(v), "Divide by v, what the branch itself adds."),
            (L**-0.5, "1/sqrt(L) asks neither v nor the growth."),
        ],
    )
    expect_close(
        got[3],
        wanted,
        "The rate",
        [
            (rate * _change(shallow, growth, v, place, either) / _change(L, growth, v, place, either),
             "SGD's step carries the factor twice, Adam's once."),
            (rate / change, "That is what a step of one rate changes: the rate must undo it."),
            (rate, "The rate was tuned at another depth."),
            (rate * shallow / L, "The factor in front is another one at another depth, and part of the step."),
        ],
    )  # fmt: skip


def _growths(branches: list[Callable], h: Tensor, factors: Iterable[float]) -> list[float]:
    growths = []
    for branch, s in zip(branches, factors, strict=True):
        after = h + float(s) * branch(h)
        growths.append((after.square().mean() / h.square().mean()).item())
        h = after
    return growths


def _exactly(branches: list[Callable], h: Tensor, each: float, follow: bool = True) -> list[float]:
    factors = []
    for branch in branches:
        f = branch(h)
        v, c, q = f.square().mean(), (h * f).mean(), h.square().mean()
        s = ((c.square() + v * (each - 1) * q).sqrt() - c) / v
        factors.append(s.item())
        h = h + s * f if follow else h
    return factors


def _roughly(branches: list[Callable], h: Tensor, each: float) -> list[float]:
    factors = []
    for branch in branches:
        f = branch(h)
        factors.append(((each - 1) * h.square().mean() / f.square().mean()).sqrt().item())
        h = h + factors[-1] * f
    return factors
