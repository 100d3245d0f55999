"""Blocks and stacks: branches put into a stream by a scheme that is chosen by its name."""

import dataclasses
import inspect

from torch import nn

from resnorm_lib._arguments import choice, positive_int
from resnorm_lib.residual.norm_axis import feature_norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import SCHEMES
from resnorm_lib.residual.scheme import fusable

__all__ = ["Block", "Residual", "ResidualStack", "Stack", "make_scheme"]


def make_scheme(name, dim, norm="layer", position=None, **options):
    """Return the scheme called ``name`` for one block.

    Raises
    ------
    ValueError
        If the name, an option or a value does not fit.

    Examples
    --------
    >>> make_scheme("layer_scale", 8, inital=0.1)
    Traceback (most recent call last):
        ...
    ValueError: the scheme 'layer_scale' has no option 'inital'; its options: initial.
    """
    scheme = SCHEMES[choice("scheme", name, SCHEMES)]
    known = [key for key, value in inspect.signature(scheme).parameters.items() if value.kind is value.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ValueError(
                f"the scheme {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}."
            )
    return scheme(positive_int("dim", dim), norm, as_position(position), **options)


def as_position(position, num_branches=1):
    if position is not None and not isinstance(position, BranchPosition):
        raise ValueError(f"position is {position!r}, but it must be a BranchPosition.")
    return position or BranchPosition(num_branches=num_branches)


class Block(nn.Module):
    """What a block does: its ``branch``, a method or a module, joins the stream as its scheme says.

    A subclass makes its layers, then calls ``join``. It may set ``downsample``, which the stream goes through past
    the branch, and ``activation``, which every stream goes through after the join.
    """

    def __init__(self):
        super().__init__()
        self.downsample = self.activation = None

    def join(self, dim, scheme, norm, position, options):
        self.scheme = make_scheme(scheme, dim, norm, position, **options)
        self.scheme.initialise(self._modules.get("branch", self))

    @fusable
    def forward(self, state, *args, **context):
        if self.scheme.carries_state and not isinstance(state, tuple):
            raise ValueError(
                f"the scheme {type(self.scheme).__name__} carries more than x from block to block: "
                "put the branches into a ResidualStack, which opens and closes that state."
            )
        state = self.scheme(state, lambda read, **more: self.branch(read, *args, **context, **more), self.downsample)
        return state if self.activation is None else self.scheme.map_streams(state, self.activation)

    @property
    def needs_final_norm(self):
        """Whether a stack of such blocks must end with a norm of its own."""
        return self.scheme.needs_final_norm


class Residual(Block):
    r"""Wrap a branch F so that it joins the stream the way that ``scheme`` says.

    Parameters
    ----------
    branch : nn.Module
        F, from (..., dim) to the same shape. Further arguments of the call are handed on to it. Some schemes change
        how it starts: :mod:`resnorm_lib.residual.branch` says what they ask of it.
    dim : int
        Number of features of the stream (channels for ``norm="batch"``).
    scheme : str, default "pre_norm"
        A key of :data:`resnorm_lib.residual.SCHEMES`.
    norm : str, default "layer"
        N, a name that :func:`resnorm_lib.norms.make_norm` knows.
    num_branches : int, default 1
        L, the number of residual blocks in the whole stack.
    position : BranchPosition, optional
        Where the block stands, for schemes that depend on more than L. :class:`ResidualStack` knows it.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If an argument does not fit, or if the branch returns another shape than it was given.

    Examples
    --------
    >>> import torch
    >>> block = Residual(nn.Linear(4, 4), 4, scheme="rezero", norm="none")
    >>> x = torch.randn(2, 4)
    >>> bool((block(x) == x).all())
    True
    """

    def __init__(self, branch, dim, scheme="pre_norm", norm="layer", num_branches=1, *, position=None, **options):
        super().__init__()
        if not isinstance(branch, nn.Module):
            raise ValueError(f"branch is {branch!r}, but it must be an nn.Module.")
        self.branch = branch
        self.join(dim, scheme, norm, as_position(position, num_branches), options)


class Stack(nn.Sequential):
    """Blocks of one scheme in a row. It opens the state, hands it from block to block, and closes it.

    Calling it with further keywords hands these on to every branch. A slice is a stack of the same blocks.
    """

    def __init__(self, *blocks):
        super().__init__(*blocks)
        if blocks:
            self[0].scheme.check(self)

    def __getitem__(self, index):
        return Stack(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)

    def forward(self, x, **context):
        if not len(self):
            return x
        scheme = self[0].scheme
        return self[-1].scheme.close(scheme.run(self, scheme.open(x), context))


class ResidualStack(Stack):
    r"""Branches in a row, joined by one scheme: the state that it carries lives through the whole stack.

    Parameters
    ----------
    branches : iterable of nn.Module
        :math:`F_1, \dots, F_L`.
    dim : int
        Number of features of the stream at the start. The attribute ``out_dim`` is that at the end.
    scheme, norm : str
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
        self, branches, dim, scheme="pre_norm", norm="layer", *, branches_per_layer=1, position=None, **options
    ):
        branches = list(branches)
        if not branches:
            raise ValueError("branches is empty, but a stack needs at least one.")
        known = dataclasses.replace(
            as_position(position), num_branches=len(branches), branches_per_layer=branches_per_layer
        )
        positions = [dataclasses.replace(known, index=index) for index in range(len(branches))]
        super().__init__(*(Residual(b, dim, scheme, norm, position=p, **options) for b, p in zip(branches, positions)))
        self.out_dim = out_dim(dim, scheme, len(branches), **options)

    @property
    def needs_final_norm(self):
        """Whether a model must put a norm after the stack."""
        return self[-1].needs_final_norm

    def make_final_norm(self, norm):
        """Return the norm that a model must put after the stack: N, or the identity where the scheme needs none."""
        return feature_norm(
            norm if self.needs_final_norm else "none", self.out_dim, self[-1].scheme.position.feature_axis
        )


def out_dim(dim, scheme, steps, **options):
    """Return the width of a stream after ``steps`` blocks: that of the input, unless the scheme concatenates."""
    return SCHEMES[scheme].widths(dim, steps, **options)[0]
