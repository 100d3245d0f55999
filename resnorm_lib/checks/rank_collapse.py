"""Checks for the exercises of "When all tokens become one"."""

from collections.abc import Callable

import torch

from resnorm_lib.checks.judge.answers import call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_distance", "check_post_norm_share"]


def _distance(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(0)).norm() / x.norm()


@exercise("exercise-rank-distance", points=1, right=_distance)
def check_distance(answer: Callable, face: Draw) -> str:
    """Check ``answer(x)``: how far tokens (T, d) are from being one vector.

    The verdict is wrong if the distance is wrong.
    """
    generator = face.generator(0)
    for tokens, features in face.cases((4, 3), (7, 7), drawn=lambda: (face.integer(2, 9), face.integer(2, 9))):
        x = torch.randn(tokens, features, generator=generator, dtype=torch.float64) + 1
        centred = x - x.mean(0)
        mistakes = [
            ((x - x.mean(1, keepdim=True)).norm() / x.norm(), "That is the mean over features: take the mean token."),
            (
                (x - x.mean()).norm() / x.norm(),
                "One number was taken off all entries: take off the mean token, a vector.",
            ),
            (centred.norm(), "The size of the tokens is missing: divide by it."),
            (centred.square().sum() / x.square().sum(), "These are squares: take the root."),
            ((x - x[0]).norm() / x.norm(), "The first token was taken off: take off the mean of all tokens."),
            (centred.norm() / x.mean(0).norm(), "Divide by the size of the tokens, not by that of their mean."),
            (torch.ones(()), "That is 1 for any tokens: what is divided by is centred, too."),
            (centred.abs().sum() / x.abs().sum(), "Sizes are roots of sums of squares, not sums of absolute values."),
        ]
        expect_close(call(answer, x), centred.norm() / x.norm(), "The distance", mistakes)
    return "the distance of tokens from one vector"


def _share(depth: int, tokens: int) -> float:
    return 1 / (1 + (tokens - 1) / 2**depth)


@exercise("exercise-rank-recursion", points=2, right=_share)
def check_post_norm_share(answer: Callable, face: Draw) -> str:
    """Check ``answer(depth, tokens)``: the common part's share after Post-LN blocks of plain averaging.

    The verdict is wrong if a share is wrong.
    """
    cases = ((0, 8), (1, 4), (5, 32))
    for depth, tokens in face.cases(*cases, drawn=lambda: (face.integer(2, 9), face.integer(3, 99))):
        odds = (tokens - 1) / 2**depth
        pre = 1 / tokens
        for _ in range(depth):
            pre += pre / (pre + 1 - 1 / tokens)
        mistakes = [
            (min(1.0, 2**depth / tokens), "The norm divides the common part too: the share cannot just double."),
            (
                pre / (pre + 1 - 1 / tokens),
                "That is Pre-LN: here each block ends with a norm, and the next starts at 1.",
            ),
        ]
        what = f"The share after {depth} blocks of {tokens} tokens"
        expect_close(call(answer, depth, tokens), 1 / (1 + odds), what, mistakes if depth else ())
    return "the common part under Post-LN"
