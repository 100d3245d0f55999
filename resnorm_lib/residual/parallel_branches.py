"""Branches of one layer that read the same input instead of each other's output."""

from torch import Tensor, nn

from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.read_only import check_unwritten, counts, times_written
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity, residual_add


@named("parallel", r"x + F_1(N(x)) + F_2(N(x))", "untouched")
class Parallel(Scheme):
    r"""All branches of a layer read one norm of the same x: :math:`y = x + F_1(N(x)) + F_2(N(x))`.

    Wang and Komatsuzaki (2021), github.com/kingoflolz/mesh-transformer-jax (GPT-J); Chowdhery et al. (2022),
    arXiv:2204.02311 (PaLM). Identity path: untouched. Start: nothing required. A layer has as many branches as
    ``branches_per_layer`` says, 2 in a Transformer; with one it is pre-norm. Use it where the branches' matrix
    products are to be computed together.
    """

    places_norm = True
    carries_state = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm if position.starts_layer else None, position)

    def check(self, blocks: nn.Module) -> None:
        if not self.position.starts_layer:
            raise ValueError("a stack with scheme='parallel' starts within a layer, but its branches share one norm.")

    def open(self, x: Tensor) -> tuple:
        return x, None

    def map_streams(self, state: tuple, function: Branch) -> tuple:
        return function(state[0]), state[1]

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple:
        x, read = state
        if self.position.starts_layer:
            read = self.norm(x)
        written, update = times_written(read), branch(read if counts(read) else read.clone())
        check_unwritten(written, read)  # the layer's other branches read it too
        return residual_add(shortcut(x, read), update), read

    def close(self, state: tuple) -> Tensor:
        return state[0]
