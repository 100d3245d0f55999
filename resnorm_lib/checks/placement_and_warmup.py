"""Checks for the exercises of "Placement and warm-up"."""

from collections.abc import Callable

from resnorm_lib.checks.judge.answers import call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_perturbation", "check_warmup_rate"]


def _rate(step: int, rate: float, warmup: int) -> float:
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate


@exercise("exercise-warmup-rate", points=1, right=_rate)
def check_warmup_rate(answer: Callable, face: Draw) -> str:
    """Check ``answer(step, rate, warmup)``: the learning rate of a step, counted from 0, with linear warm-up.

    The verdict is wrong if a rate is wrong.
    """
    rate = face.number(0.2, 5) if face.hidden else 0.1
    for warmup in face.cases(4, 1, 0, drawn=lambda: face.choice([0, face.integer(1, 9)]), count=6):
        for step in face.cases(0, 2, 3, 4, 9, drawn=lambda: face.integer(0, 12)):
            full = warmup == 0 or step + 1 >= warmup
            wanted = rate if full else rate * (step + 1) / warmup
            late = rate * step / warmup if warmup else rate
            none = [] if warmup else [(0.0, "With warmup=0 the rate is full at once: it is not 0.")]
            mistakes = [
                *none,
                (
                    late,
                    "The first step, number 0, would have a rate of 0 and be wasted: count it as the first of many.",
                ),
                (rate * (step + 1) / max(warmup, 1), "After the warm-up the rate must stay: it must not rise further."),
                *([(rate * warmup / (step + 1), "The fraction is upside down: the rate must rise.")] if warmup else []),
                (rate, "The rate is full from the first step on: there is no warm-up."),
            ]
            what = f"The rate at step {step} with {warmup} steps of warm-up"
            try:
                got = call(answer, step, rate, warmup)
            except ZeroDivisionError:
                got = float("nan")
                mistakes.insert(0, (got, "With warmup=0 the rate is full at once: do not divide by it."))
            expect_close(got, wanted, what, mistakes=mistakes)
    return "linear warm-up"


def _perturbation(scheme: str, blocks: int, v: float, c: float) -> float:
    q, total = 1.0, 0.0
    for _ in range(blocks):
        if scheme == "post_norm":
            q = 1.0
        elif scheme == "deep_norm":
            total += v * c / (2 * blocks)
            continue
        q += v
        total += c * v / q
    return total


def _stack(face: Draw) -> tuple[int, float, float]:
    """Return blocks, v and c."""
    return face.integer(2, 30), face.number(0.2, 2), face.number(0.01, 0.1)


@exercise("exercise-perturbation", points=2, right=_perturbation)
def check_perturbation(answer: Callable, face: Draw) -> str:
    """Check ``answer(scheme, blocks, v, c)``: the relative squared change of a stack's output.

    Schemes are ``"post_norm"``, ``"pre_norm"`` and ``"deep_norm"``; ``v`` is the mean square of an undamped branch,
    ``c`` the relative squared change of one.

    The verdict is wrong if a change is wrong.
    """
    cases = ((8, 0.4, 0.01), (1, 0.4, 0.01), (24, 0.7, 0.02))
    for scheme in ("post_norm", "pre_norm", "deep_norm"):
        for blocks, v, c in face.cases(*cases, drawn=lambda: _stack(face)):
            linear = blocks * c * v / (1 + v)
            mistakes = [
                (blocks * c, "The branch is only a part of the sum: multiply c by its share of the mean square."),
                (blocks * c * v, "v is the branch's square, not its share: divide by that of the stream with it."),
            ]
            if scheme == "pre_norm":
                before = sum(c * v / (1 + v * block) for block in range(blocks))
                mistakes.append(
                    (before, "The share is one of the sum: the stream after the block counts, not before it.")
                )
                mistakes.append((linear, "In Pre-LN nothing resets the stream: its mean square grows with each block."))
            if scheme == "post_norm":
                pre = _perturbation("pre_norm", blocks, v, c)
                mistakes.append((pre, "In Post-LN each block begins with a stream of mean square 1."))
            if scheme == "deep_norm":
                mistakes.append((linear, "DeepNorm is Post-LN with alpha and beta: both change the branch's share."))
                mistakes.append((v * c / (2 * blocks), "That is one block's part: there are as many as blocks."))
            expect_close(
                call(answer, scheme, blocks, v, c),
                _perturbation(scheme, blocks, v, c),
                f"The change for {scheme}, {blocks} blocks",
                mistakes=mistakes,
            )
    return "the change of the output"
