"""The scheme whose blocks can be inverted, so that activations need not be kept."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import flag
from resnorm_lib.norms.registry import Norm
from resnorm_lib.ops.dispatch import is_transformed
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.recompute import recomputed
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, State, identity, residual_add


@named("reversible", r"(b, a + F(N(b)))", "untouched in both streams")
class Reversible(Scheme):
    r"""Two streams that take turns: each block reads one and adds to the other.

    .. math:: (a, b) \leftarrow (b,\; a + F(N(b))), \qquad \text{inverse: } (p, q) \mapsto (q - F(N(p)),\; p)

    Gomez et al. (2017), arXiv:1707.04585; both streams start as the input, as in Kitaev et al. (2020),
    arXiv:2001.04451, and their mean leaves the stack. Identity path: untouched in both. Start: nothing required.
    Use it where memory is short: with ``save_memory`` activations do not grow with depth, at the price of one more
    forward pass.

    Parameters
    ----------
    save_memory : bool, default False
        Recompute the activations in the backward pass from the stack's output. torch's random numbers are drawn
        again as they were. Running statistics raise, and so does all else that does not come out the same twice, a
        gradient of a gradient, FSDP and the capture of a CUDA graph. Under ``torch.func`` no memory is saved. Hooks in
        the blocks are called twice.
    """

    carries_state = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, save_memory: bool = False) -> None:
        super().__init__(dim, norm, position)
        self.save_memory = flag("save_memory", save_memory)

    def open(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple[Tensor, Tensor]:
        a, b = map(shortcut, state)
        return b, residual_add(a, branch(self.norm(state[1])))

    def close(self, state: tuple) -> Tensor:
        return (state[0] + state[1]) / 2

    def invert(self, state: tuple, branch: Branch) -> tuple[Tensor, Tensor]:
        """Return the state before the block from the state after it."""
        return residual_add(state[1], -branch(self.norm(state[0]))), state[0]

    def run(self, blocks: nn.Module, state: tuple, context: dict) -> State:
        # A compiler decides by itself what to recompute, and torch.func differentiates operations alone.
        apart = torch.compiler.is_compiling() or is_transformed()
        if apart or not self.save_memory or not torch.is_grad_enabled():
            return super().run(blocks, state, context)
        return recomputed(blocks, state, context)
