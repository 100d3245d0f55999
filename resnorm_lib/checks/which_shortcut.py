"""Checks for the exercises of "Which shortcut?"."""

import math
from collections.abc import Callable

from resnorm_lib.checks.judge.answers import call, expect_close, several, to_array
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_dropout_shortcut", "check_gate_bias"]


def _bias(p: float, L: int) -> float:
    return math.log(p ** (-1 / L) - 1)


@exercise("exercise-short-bias", points=2, right=_bias)
def check_gate_bias(answer: Callable, face: Draw) -> str:
    """Check ``answer(p, L)``: the bias with which L gates 1 - sigmoid(b) let a share p through all together.

    The verdict is wrong if a bias is wrong.
    """
    cases = ((0.5, 1), (0.5, 54), (0.9, 40), (0.01, 3))
    for p, gates in face.cases(*cases, drawn=lambda: (face.number(0.05, 0.95), face.integer(2, 60))):
        each = p ** (1 / gates)
        bias = math.log((1 - each) / each)
        mistakes = [
            (-bias, "The gate lets 1 - sigmoid(b) through, not sigmoid(b): the sign is wrong."),
            (math.log((1 - p) / p), "That lets p through each gate: L of them multiply."),
            (math.log((1 - p / gates) * gates / p), "Gates in a row multiply: take the L-th root, not the L-th part."),
        ]
        expect_close(
            call(answer, p, gates),
            bias,
            f"The bias for p = {p}, L = {gates}",
            mistakes=[(value, why) for value, why in mistakes if abs(value - bias) > 1e-6],
            tolerance=1e-6,
        )
    return "the bias of a gate"


@exercise("exercise-short-dropout", points=2, right=lambda p, L: ((1 - p) ** L, (1 - p) ** -L))
def check_dropout_shortcut(answer: Callable, face: Draw) -> str:
    """Check ``answer(p, L)``: how likely a feature arrives through L dropouts, and how its mean square grows.

    The verdict is wrong if a number is wrong.
    """
    cases = ((0.4, 1), (0.5, 40), (0.2, 3))
    for p, blocks in face.cases(*cases, drawn=lambda: (face.number(0.1, 0.45), face.integer(2, 12))):
        arrives, growth = several(call(answer, p, blocks), "the probability", "the growth of the mean square")
        what = f"for p = {p}, L = {blocks}"
        expect_close(
            to_array(arrives) * 1e12,
            (1 - p) ** blocks * 1e12,
            f"10^12 times the probability {what}",
            mistakes=[(p**blocks * 1e12, "That is the probability to be dropped every time.")] if p != 0.5 else [],
        )
        expect_close(
            growth,
            (1 - p) ** -blocks,
            f"The growth of the mean square {what}",
            mistakes=[
                (1.0, "The mean is unchanged, the mean square is not."),
                ((1 - p) ** (-2 * blocks), "A feature that is kept has that square, but only a share is kept."),
            ],
        )
    return "dropout on the shortcut"
