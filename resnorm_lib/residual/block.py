"""A block: one branch that joins the stream by a scheme."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import positive_int
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.read_only import check_traceable, check_unwritten, copying, times_written
from resnorm_lib.residual.registry import resolve_scheme
from resnorm_lib.residual.scheme import Branch, Scheme, State, check_update, identity

__all__ = ["Block", "Residual", "make_scheme", "residual_blocks"]


def make_scheme(
    scheme: str | type | partial, dim: int, norm: Norm = "layer", position: BranchPosition | None = None, **options
) -> Scheme:
    """Return the scheme of one block, built from a name, a class or a partial of a class.

    Raises
    ------
    ValueError
        If the scheme, an option or a value does not fit.

    Examples
    --------
    >>> make_scheme("layer_scale", 8, inital=0.1)
    Traceback (most recent call last):
        ...
    ValueError: the scheme 'layer_scale' has no option 'inital'; its options: initial.
    """
    build, options = resolve_scheme(scheme, options)
    return build(positive_int("dim", dim), norm, check_position(position), **options)


def check_position(position: object) -> BranchPosition:
    """Return the position, by default one that knows nothing."""
    if position is not None and not isinstance(position, BranchPosition):
        raise ValueError(f"position is {position!r}, but it must be a BranchPosition.")
    return position or BranchPosition()


class Block(nn.Module):
    """Join a ``branch``, a method or a module, to the stream as a scheme says.

    A subclass makes its layers, then calls ``join``. It may set ``downsample``, which the stream goes through past
    the branch, and ``activation``, which every stream goes through after the join.
    """

    def __init__(self) -> None:
        super().__init__()
        self.downsample = self.activation = None

    def join(self, dim: int, scheme: str | type | partial, norm: Norm, position: BranchPosition, options: dict) -> None:
        """Build the scheme, and give the branch the initialisation that it requires."""
        self.scheme = make_scheme(scheme, dim, norm, position, **options)
        self.scheme.initialise(self._modules.get("branch", self))

    def forward(self, state: State, *args: Any, **context: Any) -> State:
        scheme, branch, shortcut = self.scheme, self.branch, self.downsample
        _check_state(scheme, state)
        streams = state if scheme.carries_state else (state,)
        written = times_written(*streams)
        branch = copying(_call_with(branch, args, context), self, *streams)
        state = scheme(state, branch, identity if shortcut is None else self.past)
        if self.activation is not None:
            state = scheme.map_streams(state, self.activation)
        check_unwritten(written, *streams)
        return state

    def past(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        """Return what goes past the branch, which reads ``read``. Only blocks with a ``downsample`` ask."""
        return self.downsample(x)


def _check_state(scheme: Scheme, state: State) -> None:
    check_traceable(state)
    if scheme.carries_state != isinstance(state, tuple):
        raise ValueError(
            f"the scheme {type(scheme).__name__} carries more than x from block to block: "
            "put the branches into a ResidualStack, which opens and closes that state."
            if scheme.carries_state
            else f"the block was given a tuple, but {type(scheme).__name__} takes the stream alone, a tensor."
        )


def _call_with(branch: Branch, args: tuple, context: dict) -> Branch:
    def call(read: Tensor, **more) -> Tensor:
        update = branch(read, *args, **context, **more)
        check_update(update)
        return update

    return call


class Residual(Block):
    r"""Wrap a branch F so that it joins the stream the way that ``scheme`` says.

    Parameters
    ----------
    branch : nn.Module
        F, from (..., dim) to the same shape. Further arguments of the call are handed on to it. Some schemes change
        its initialisation: :mod:`resnorm_lib.residual.branch` says what they ask of it.
    dim : int
        Number of features of the stream (channels for ``norm="batch"``).
    scheme : str, class or partial, default "pre_norm"
        A key of :data:`resnorm_lib.residual.SCHEMES`, a subclass of :class:`Scheme`, or a partial of one.
    norm : str, class, callable or None, default "layer"
        N: whatever :func:`resnorm_lib.norms.make_norm` takes, for instance ``partial(RMSNorm, eps=1e-6)``.
    num_branches : int, optional
        L, the number of residual branches in the whole network. Schemes that depend on it raise without it.
    position : BranchPosition, optional
        Where the block stands, for schemes that depend on more than L. :class:`ResidualStack` knows it.
    device, dtype : optional
        Of the parameters of the scheme.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If an argument does not fit, or if the branch returns another shape than it was given.

    Examples
    --------
    >>> import torch
    >>> block = Residual(nn.Linear(4, 4), 4, scheme="rezero", norm=None)
    >>> x = torch.randn(2, 4)
    >>> bool((block(x) == x).all())
    True
    """

    def __init__(
        self,
        branch: nn.Module,
        dim: int,
        scheme: str | type | partial = "pre_norm",
        *,
        norm: Norm = "layer",
        num_branches: int | None = None,
        position: BranchPosition | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__()
        if not isinstance(branch, nn.Module):
            raise ValueError(f"branch is {branch!r}, but it must be an nn.Module.")
        self.branch = branch
        if position is not None and num_branches is not None:
            raise ValueError(f"num_branches is {num_branches}, but position brings its own: give only one of the two.")
        self.join(dim, scheme, norm, position or BranchPosition(num_branches=num_branches), options)
        self.scheme.to(device=device, dtype=dtype)


def residual_blocks(model: nn.Module) -> list[Block]:
    """Return all residual blocks of a model, in the order in which they were built.

    Examples
    --------
    >>> from resnorm_lib.models import cifar_resnet
    >>> len(residual_blocks(cifar_resnet(20)))
    9
    """
    return [module for module in model.modules() if isinstance(module, Block)]
