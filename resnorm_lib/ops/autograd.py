"""What the backward passes of the operations share, and what torch's own fused norms need for theirs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = [
    "apply_of",
    "as_parameter",
    "channels_last_gradient",
    "differentiable",
    "in_forward_mode",
    "parameter_gradients",
]


def parameter_gradients(
    dw: Tensor | None, db: Tensor | None, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients as autograd wants them: in the dtype of the parameter, None where there is none."""
    return as_parameter(dw, weight), as_parameter(db, bias)


def as_parameter(gradient: Tensor | None, parameter: Tensor | None) -> Tensor | None:
    """Return a gradient in the dtype and shape of its parameter; None where either is None, or the gradient empty."""
    if parameter is None or gradient is None:
        return None
    if gradient.dtype is not parameter.dtype:
        gradient = gradient.to(parameter.dtype)
    if gradient.shape == parameter.shape:
        return gradient
    return gradient.view(parameter.shape) if gradient.numel() else None


def differentiable(function: Callable[..., Tensor], dys: Tensor, *inputs: Tensor | None) -> list[Tensor | None]:
    """Return gradients of ``function(*inputs)`` that can be differentiated again, None for an input that needs none.

    The statistics are computed anew: to a second derivative those of the forward pass would be constants, and it
    would be wrong. Each input becomes a view, so that one that depends on another is told from it.
    """
    with torch.enable_grad():
        views = [x if x is None else x.view_as(x) for x in inputs]
        needed = [x for x in views if x is not None and x.requires_grad]
        grads = iter(torch.autograd.grad(function(*views), needed, dys, create_graph=True, allow_unused=True))
    return [next(grads) if x is not None and x.requires_grad else None for x in views]


def in_forward_mode() -> bool:
    """Return whether forward-mode differentiation is active.

    There the fused norms of torch (2.13) have wrong second derivatives, forward over forward and reverse over forward.
    """
    return not torch.compiler.is_compiling() and forward_ad._current_level >= 0


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """Return ``function.apply`` without what torch does around it in Python: it asks for transforms of torch.func.

    That costs the processor as much as all checks of an operation, which has asked already.
    """
    return super(torch.autograd.Function, function).apply


class _ChannelsLastGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        return dy.contiguous(memory_format=torch.channels_last)


def channels_last_gradient(x: torch.Tensor) -> torch.Tensor:
    """Return x, whose gradient will have its layout if that is channels-last: the convolution before it needs no copy.

    The transforms of :mod:`torch.func` do without.
    """
    images = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if not images or not x.requires_grad or in_forward_mode() or torch._C._are_functorch_transforms_active():
        return x
    return _ChannelsLastGradient.apply(x)
