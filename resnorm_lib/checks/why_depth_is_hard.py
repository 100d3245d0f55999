"""Checks for the exercises of "Why depth is hard"."""

import torch

from resnorm_lib.checks.answers import Wrong, call, expect_close, several
from resnorm_lib.checks.registry import exercise
from resnorm_lib.models import MLP

__all__ = ["check_copying_blocks", "check_end_to_end_slopes"]


@exercise("exercise-products", points=1)
def check_end_to_end_slopes(answer):
    """Check ``answer(w, depth) -> (plain, residual)``: the slope of a stack whose branches multiply by w.

    The verdict is wrong if a slope is wrong.
    """
    for w, depth in ((-0.1, 40), (0.5, 40), (0.5, 1), (-2.0, 3)):
        plain, residual = several(call(answer, w, depth), "plain", "residual")
        expect_close(
            plain,
            w**depth,
            f"The plain slope for w = {w}, depth {depth}",
            mistakes=[(w * depth, "Slopes of blocks in a row multiply; they do not add.")],
        )
        expect_close(
            residual,
            (1 + w) ** depth,
            f"The residual slope for w = {w}, depth {depth}",
            mistakes=[
                (1 + w**depth, "Each block adds its own input: the identity belongs to every factor, not to the end."),
                (w**depth, "The residual slope lacks the identity: a block computes h + w h."),
            ],
        )
    return "the slopes of the two stacks"


@exercise("exercise-copy", points=3)
def check_copying_blocks(answer):
    """Check ``answer(deep, shallow)``: it makes ``deep`` compute what ``shallow`` does, by weights alone.

    The verdict is wrong if the outputs differ, or ``shallow`` was changed.
    """
    torch_state = torch.random.get_rng_state()
    shallow, deep = MLP(8, 16, 2, out_features=3).eval(), MLP(8, 16, 6, out_features=3).eval()
    torch.random.set_rng_state(torch_state)
    x = torch.linspace(-2, 2, 40).reshape(5, 8)
    before = shallow(x).detach().clone()
    with torch.no_grad():
        try:
            answer(deep, shallow)
        except NotImplementedError:
            raise Wrong("There is no answer yet: replace the line that raises NotImplementedError.") from None
        expect_close(shallow(x), before, "The output of the shallow network, which must stay as it was,")
        if any(parameter.any() for block in deep.blocks[2:] for parameter in block.branch.parameters()):
            raise Wrong("A residual block copies when its branch gives 0: some branch after the second is not zero.")
        expect_close(deep(x), shallow(x), "The output of the deep network", tolerance=1e-5)
    return "the deep network computes what the shallow one does"
