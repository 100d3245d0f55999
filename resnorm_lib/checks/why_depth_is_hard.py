"""Checks for the exercises of "Why depth is hard"."""

from collections.abc import Callable

import torch

from resnorm_lib.checks.judge.answers import call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise
from resnorm_lib.models import MLP

__all__ = ["check_copying_blocks", "check_end_to_end_slopes"]


@exercise("exercise-products", points=1, right=lambda f, depth: (f**depth, (1 + f) ** depth))
def check_end_to_end_slopes(answer: Callable, face: Draw) -> str:
    """Check ``answer(f, depth) -> (plain, residual)``: the slope of a stack whose branches multiply by f.

    The verdict is wrong if a slope is wrong.
    """
    cases = ((-0.1, 20), (0.5, 40), (0.5, 1), (-2.0, 3))
    for f, depth in face.cases(
        *cases, drawn=lambda: (face.choice([-1, 1]) * face.number(0.1, 0.9), face.integer(2, 20))
    ):
        plain, residual = several(call(answer, f, depth), "plain", "residual")
        expect_close(
            plain,
            f**depth,
            f"The plain slope for f = {f}, depth {depth}",
            mistakes=[(f * depth, "Slopes of blocks in a row multiply; they do not add.")],
        )
        expect_close(
            residual,
            (1 + f) ** depth,
            f"The residual slope for f = {f}, depth {depth}",
            mistakes=[
                (1 + f**depth, "Each block adds its own input: the identity belongs to every factor, not to the end."),
                (f**depth, "The residual slope lacks the identity: a block computes h + f h."),
            ],
        )
    return "the slopes of the two stacks"


@exercise("exercise-copy", points=3)
def check_copying_blocks(answer: Callable, face: Draw) -> str:
    """Check ``answer(deep, shallow)``: it makes ``deep`` compute what ``shallow`` does, by weights alone.

    The verdict is wrong if the outputs differ, or ``shallow`` was changed. Nothing in either network is 0 or 1 before,
    so that what is not copied is seen, norms and their statistics included.
    """
    draw = face.generator(4)
    sizes = [face.integer(3, 9) for _ in range(3)] if face.hidden else [8, 16, 3]
    with torch.random.fork_rng(devices=[]):
        shallow, deep = (MLP(*sizes[:2], depth, out_features=sizes[2]).eval() for depth in (2, 6))
    x = torch.randn(5, sizes[0], generator=draw)
    with torch.no_grad():
        for tensor in (*shallow.state_dict().values(), *deep.state_dict().values()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
        call(answer, deep, shallow, changes=(0,))
        got, wanted = MLP.forward(deep, x), MLP.forward(shallow, x)
        if any(parameter.any() for block in deep.blocks[2:] for parameter in block.branch.parameters()):
            sentence = "A residual block copies when its branch gives 0: some branch after the second is not zero."
            expect_close(got, wanted, "The output of the deep network", [(got, sentence)])
        expect_close(got, wanted, "The output of the deep network")
    return "the deep network computes what the shallow one does"
