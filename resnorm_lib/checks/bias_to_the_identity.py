"""Checks for the exercises of "Biased to the identity"."""

from collections.abc import Callable

import numpy as np
import torch

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_fixup_start", "check_shares"]

PLACES = ("in the branch", "after the sum", "no norm")


def _shares(place: str, depth: int, v: float) -> np.ndarray:
    block = np.arange(1, depth + 1)
    return np.sqrt(v / (1 + v * block)) if place == "in the branch" else np.full(depth, np.sqrt(v / (1 + v)))


@exercise("exercise-ident-shares", points=2, right=_shares)
def check_shares(answer: Callable, face: Draw) -> str:
    """Check ``answer(place, depth, v)``: the share of each block's branch in the stream that leaves the block.

    The verdict is wrong if a share is wrong.
    """
    for place in PLACES:
        cases = ((1, 1.0), (6, 1.0), (9, 0.5))
        for depth, v in face.cases(*cases, drawn=lambda: (face.integer(2, 20), face.number(0.2, 3))):
            block, wanted = np.arange(1, depth + 1), _shares(place, depth, v)
            early = np.sqrt(v / (1 + v * (block - 1)))
            mistakes = [
                (wanted**2, "This is the share of the variance: take its root."),
                (early if place == "in the branch" else np.full(depth, v**0.5), "Divide by the stream behind the sum."),
                (
                    _shares("in the branch" if place != "in the branch" else "no norm", depth, v),
                    "A norm in the branch lets the stream grow by v a block; after the sum it is 1 again in every "
                    "block; without a norm the branch grows with the stream.",
                ),
            ]
            what = f"The list of shares for {place!r}, depth {depth}, v = {v},"
            expect_close(call(answer, place, depth, v), wanted, what, mistakes=mistakes)
    return "the shares of the branches"


def _fixup(branches: list, head: torch.Tensor) -> tuple[list, torch.Tensor]:
    maps = len(branches[0])
    factors = [len(branches) ** (-1 / (2 * maps - 2))] * (maps - 1) + [0.0]
    return [[factor * matrix for factor, matrix in zip(factors, branch)] for branch in branches], 0 * head


def _mistaken(before: torch.Tensor, depth: int, maps: int, place: int) -> list[tuple[torch.Tensor, str]]:
    """Return what known mistakes make of a matrix, and the sentence that names each."""
    return [
        (before, "It is still its He initialization." if place < maps else "The last matrix of a branch must be 0."),
        (depth ** (-1 / (2 * maps - 2)) * before, "The last matrix of a branch is not scaled: it must be 0."),
        (0 * before, "Only the last matrix is 0: with all of them 0 no gradient passes the branch."),
        (depth**-0.5 * before, "The exponent is -1/(2m - 2), with m matrices in a branch."),
        (depth ** (-1 / (2 * maps)) * before, "The exponent is -1/(2m - 2): the last matrix does not count."),
    ]


@exercise("exercise-ident-fixup", points=2, right=_fixup)
def check_fixup_start(answer: Callable, face: Draw) -> str:
    """Check ``answer(branches, head)``: the matrices of Fixup from those of He initialization, without changing them.

    The verdict is wrong if a matrix is wrong, or one that was given has changed.
    """
    generator = face.generator(0)
    for depth, maps in face.cases((16, 2), (9, 3), drawn=lambda: (face.integer(2, 12), face.integer(2, 5))):
        d, classes = face.size(4), face.size(3)
        branches = [[*torch.randn(maps, d, d, generator=generator, dtype=torch.float64)] for _ in range(depth)]
        head = torch.randn(classes, d, generator=generator, dtype=torch.float64)
        got, last = several(call(answer, branches, head), "branches", "head")
        expect_close(last, 0 * head, "The head", [(head, "The head must start at 0, too.")])
        if len(got) != depth or any(len(branch) != maps for branch in got):
            raise Wrong("The answer must return as many branches as it is given, with as many matrices each.")
        for number, (branch, given) in enumerate(zip(got, branches, strict=True), 1):
            for place, (matrix, before) in enumerate(zip(branch, given, strict=True), 1):
                what = f"Matrix {place} of {maps} in branch {number} of {depth}"
                factor = depth ** (-1 / (2 * maps - 2)) if place < maps else 0.0
                expect_close(matrix, factor * before, what, _mistaken(before, depth, maps, place))
    return "the start of Fixup"
