"""GroupNorm in eager mode: the kernel is launched at once. See :mod:`resnorm_lib.ops.norm.eager`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resnorm_lib.ops.autograd import apply_of, differentiable, parameter_gradients
from resnorm_lib.ops.dispatch import is_eager, needs_gradients
from resnorm_lib.ops.group_norm import launch
from resnorm_lib.ops.group_norm.torch_version import normalize

__all__ = ["gradients", "group_norm"]


def group_norm(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Return y."""
    if needs_gradients(x, weight, bias):
        return apply(x, num_groups, weight, bias, eps)
    return launch.forward(x, num_groups, weight, bias, eps, statistics=False)[0]


class GroupNorm(torch.autograd.Function):
    """The function of autograd behind :func:`group_norm`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y, statistics = launch.forward(x, num_groups, weight, bias, eps)
        ctx.num_groups, ctx.eps = num_groups, eps
        ctx.save_for_backward(x, weight, bias, statistics)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if is_eager(dy):
            return gradients(ctx, dy, launch.backward)
        from resnorm_lib.ops.group_norm.registered import through_operation

        return gradients(ctx, dy, through_operation)


apply = apply_of(GroupNorm)


def gradients(ctx: Any, dy: Tensor, backward: Callable[..., tuple]) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, weight and bias in the order of the inputs; ``backward`` reaches the kernel."""
    x, weight, bias, statistics = ctx.saved_tensors
    if torch.is_grad_enabled():

        def again(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return normalize(x, ctx.num_groups, weight, bias, ctx.eps)[0]

        dx, dw, db = differentiable(again, dy, x, weight, bias)
    else:
        dx, dw, db = backward(dy, x, statistics, weight, ctx.num_groups, ctx.needs_input_grad[2:4])
        dw, db = parameter_gradients(dw, db, weight, bias)
    return dx, None, dw, db, None
