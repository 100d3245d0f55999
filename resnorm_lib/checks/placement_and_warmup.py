"""Checks for the exercises of "Placement and warm-up"."""

from resnorm_lib.checks.answers import call, expect_close
from resnorm_lib.checks.registry import exercise

__all__ = ["check_perturbation", "check_warmup_rate"]


@exercise("exercise-warmup-rate", points=1)
def check_warmup_rate(answer):
    """Check ``answer(step, rate, warmup)``: the learning rate of a step, counted from 0, with linear warm-up.

    The verdict is wrong if a rate is wrong.
    """
    for warmup in (4, 1, 0):
        for step in (0, 2, 3, 4, 9):
            full = warmup == 0 or step + 1 >= warmup
            wanted = 0.1 if full else 0.1 * (step + 1) / warmup
            late = 0.1 * step / warmup if warmup else 0.1
            mistakes = [
                (
                    late,
                    "The first step, number 0, would have a rate of 0 and be wasted: count it as the first of many.",
                ),
                (0.1 * (step + 1) / max(warmup, 1), "After the warm-up the rate must stay: it must not rise further."),
                (0.1 * warmup / (step + 1), "The fraction is upside down: the rate must rise."),
                (0.1, "The rate is full from the first step on: there is no warm-up."),
            ]
            what = f"The rate at step {step} with {warmup} steps of warm-up"
            try:
                got = call(answer, step, 0.1, warmup)
            except ZeroDivisionError:
                got = float("nan")
                mistakes.insert(0, (got, "With warmup=0 the rate is full at once: do not divide by it."))
            expect_close(got, wanted, what, mistakes=mistakes)
    return "linear warm-up"


def _perturbation(scheme, blocks, v, c):
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


@exercise("exercise-perturbation", points=2)
def check_perturbation(answer):
    """Check ``answer(scheme, blocks, v, c)``: the relative squared change of a stack's output.

    Schemes are ``"post_norm"``, ``"pre_norm"`` and ``"deep_norm"``; ``v`` is the mean square of an undamped branch,
    ``c`` the relative squared change of one.

    The verdict is wrong if a change is wrong.
    """
    for scheme in ("post_norm", "pre_norm", "deep_norm"):
        for blocks in (8, 1, 24):
            v, c = 0.5, 0.01
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
