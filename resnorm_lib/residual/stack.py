"""Stacks of blocks: everything about a scheme that concerns more than one block."""

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.block import Residual, check_position
from resnorm_lib.residual.norm_axis import feature_norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.read_only import check_traceable
from resnorm_lib.residual.registry import resolve_scheme
from resnorm_lib.residual.scheme import State

__all__ = ["ResidualStack", "Stack", "branch_widths", "out_dim"]


class Stack(nn.Sequential):
    """Blocks of one scheme in a row. A stack opens the state, hands it from block to block, and closes it.

    One rule says whose scheme is asked: the first block's for what comes in front of the stack (``open``,
    ``embedding_gain``) and for the way through it, the last block's for what comes behind (``close``,
    ``needs_final_norm``, ``head_gain``).

    Calling a stack with further keywords hands these on to every branch. A slice is a stack of the same
    blocks; where they carry a state, it is a Sequential that takes the state and returns it, and refuses x.
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        if blocks:
            self[0].scheme.check(self)

    def __getitem__(self, index: int | slice) -> nn.Module:
        blocks = list(self)[index]  # a call of Sequential's own method is what torch 2.6 cannot export
        if not isinstance(index, slice):
            return blocks
        carries = bool(blocks) and blocks[0].scheme.carries_state and len(blocks) < len(self)
        return nn.Sequential(*blocks) if carries else Stack(*blocks)

    def open(self, x: Tensor) -> State:
        """Return the state that the first block gets: x itself, or a tuple where the scheme carries more."""
        return self[0].scheme.open(x)

    def close(self, state: State) -> Tensor:
        """Return the stream from the state that the last block gives."""
        return self[-1].scheme.close(state)

    def forward(self, x: Tensor, **context: Any) -> Tensor:
        check_traceable(x)
        if not len(self):
            return x
        return self.close(self[0].scheme.run(self, self.open(x), context))

    @property
    def embedding_gain(self) -> float:
        """Return the initial factor of the embeddings in front of the stack."""
        return self[0].scheme.embedding_gain

    @property
    def head_gain(self) -> float:
        """Return the initial factor of the last linear map of the model."""
        return self[-1].scheme.head_gain

    @property
    def needs_final_norm(self) -> bool:
        """Return whether a model must put a norm after the stack."""
        return self[-1].scheme.needs_final_norm


class ResidualStack(Stack):
    r"""Branches in a row, joined by one scheme: the state that it carries lives through the whole stack.

    Parameters
    ----------
    branches : iterable of nn.Module
        :math:`F_1, \dots, F_L`.
    dim : int
        Number of features of the stream at the start. The attribute ``out_dim`` is that at the end.
    scheme, norm, device, dtype
        As for :class:`Residual`.
    branches_per_layer : int, default 1
        How many branches a paper calls one layer: 2 in a Transformer.
    position : BranchPosition, optional
        ``role``, ``other_depth``, ``feature_axis``; ``index`` and ``num_branches`` are counted here.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If there is no branch, or an argument does not fit.

    Examples
    --------
    >>> import torch
    >>> stack = ResidualStack([nn.Linear(8, 8) for _ in range(6)], 8, scheme="hyper_connections")
    >>> stack(torch.zeros(2, 8)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        branches: Iterable[nn.Module],
        dim: int,
        scheme: str | type | partial = "pre_norm",
        *,
        norm: Norm = "layer",
        branches_per_layer: int = 1,
        position: BranchPosition | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        branches = list(branches)
        if not branches:
            raise ValueError("branches is empty, but a stack needs at least one.")
        counted = {"num_branches": len(branches), "branches_per_layer": branches_per_layer}
        known = dataclasses.replace(check_position(position), **counted)
        common = {"norm": norm, "device": device, "dtype": dtype} | options
        super().__init__(
            *(
                Residual(branch, dim, scheme, position=dataclasses.replace(known, index=index), **common)
                for index, branch in enumerate(branches)
            )
        )
        self.out_dim = out_dim(dim, scheme, len(branches), **options)

    def make_final_norm(self, norm: Norm) -> nn.Module:
        """Return the norm that a model must put after the stack: N, or the identity where the scheme needs none."""
        axis = self[-1].scheme.position.feature_axis
        return feature_norm(norm if self.needs_final_norm else None, self.out_dim, axis)


def branch_widths(dim: int, scheme: str | type | partial, num_branches: int, **options) -> list[tuple[int, int]]:
    """Return what each branch of a stack reads and writes: the width of the stream, unless the scheme concatenates.

    Examples
    --------
    >>> branch_widths(8, "pre_norm", 2), branch_widths(8, "concat", 2, growth=3)
    ([(8, 8), (8, 8)], [(8, 3), (11, 3)])
    """
    scheme, options = resolve_scheme(scheme, options)
    return [scheme.widths(dim, index, **options) for index in range(num_branches)]


def out_dim(dim: int, scheme: str | type | partial, num_branches: int, **options) -> int:
    """Return the width of a stream after so many blocks: that of the input, unless the scheme concatenates."""
    scheme, options = resolve_scheme(scheme, options)
    return scheme.widths(dim, num_branches, **options)[0]
