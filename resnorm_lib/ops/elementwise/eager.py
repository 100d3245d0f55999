"""DynamicTanh and Derf in eager mode: the kernel is launched at once. See :mod:`resnorm_lib.ops.norm.eager`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resnorm_lib.ops.autograd import apply_of, as_parameter, differentiable
from resnorm_lib.ops.dispatch import is_eager, needs_gradients
from resnorm_lib.ops.elementwise import launch, torch_version

__all__ = ["gradients", "tanh_or_erf"]


def tanh_or_erf(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return w * tanh(alpha * x) + b, or with a ``shift`` w * erf(alpha * x + s) + b."""
    inputs = x, alpha, shift, weight, bias
    return apply(*inputs) if needs_gradients(*inputs) else launch.forward(*inputs)


class TanhOrErf(torch.autograd.Function):
    """The function of autograd behind :func:`tanh_or_erf`."""

    @staticmethod
    def forward(ctx: Any, *inputs) -> Tensor:
        ctx.save_for_backward(*inputs)
        return launch.forward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if is_eager(dy):
            return gradients(ctx, dy, launch.backward)
        from resnorm_lib.ops.elementwise.registered import through_operation

        return gradients(ctx, dy, through_operation)


apply = apply_of(TanhOrErf)


def gradients(ctx: Any, dy: Tensor, backward: Callable[..., tuple]) -> tuple[Tensor | None, ...]:
    """Return the gradients of all five inputs; ``backward`` is how the kernel is reached."""
    x, alpha, shift, weight, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        return tuple(differentiable(torch_version.tanh_or_erf, dy, x, alpha, shift, weight, bias))
    n = launch.row_length(x, bias if weight is None else weight)
    dx, *parameters = backward(dy, x, alpha, shift, weight, n, ctx.needs_input_grad[1:])
    return dx, *(as_parameter(g, p) for g, p in zip(parameters, (alpha, shift, weight, bias)))
