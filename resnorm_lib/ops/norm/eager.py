"""The fused norms in eager mode: the kernel is launched at once, and once more for the gradients.

An operation that is registered with torch is dispatched and traced on every call, which takes the processor longer than
the launch itself. The formula of the gradients, :func:`gradients`, is the same for both.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnorm_lib.ops.autograd import apply_of, differentiable, parameter_gradients
from resnorm_lib.ops.dispatch import is_eager, needs_gradients
from resnorm_lib.ops.norm import launch
from resnorm_lib.ops.norm.torch_version import Settings, normalize

__all__ = ["fused_norm", "gradients"]


def fused_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    settings: Settings,
    keep: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return y, the norm of x, or of residual + x; with ``keep`` the pair of y and that sum."""
    if needs_gradients(x, residual, weight, bias):
        return apply(x, residual, weight, bias, settings, keep)
    y, s, _ = launch.forward(x, residual, weight, bias, settings, keep, statistics=False)
    return (y, s) if keep else y


class FusedNorm(torch.autograd.Function):
    """The function of autograd behind :func:`fused_norm`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        settings: Settings,
        keep: bool,
    ) -> Tensor | tuple[Tensor, Tensor]:
        y, s, statistics = launch.forward(x, residual, weight, bias, settings, keep)
        ctx.settings, ctx.dtypes = settings, (x.dtype, None if residual is None else residual.dtype)
        ctx.save_for_backward(s if keep else x, weight, bias, statistics)
        if not keep:
            return y
        ctx.set_materialize_grads(False)
        return y, s

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, ds: Tensor | None = None) -> tuple[Tensor | None, ...]:
        if is_eager(dy, ds):
            return *gradients(ctx, dy, ds, ctx.needs_input_grad[2:4], launch.backward), None, None
        from resnorm_lib.ops.norm.registered import through_operation

        return *gradients(ctx, dy, ds, ctx.needs_input_grad[2:4], through_operation), None, None


apply = apply_of(FusedNorm)


def gradients(
    ctx: Any, dy: Tensor | None, ds: Tensor | None, wanted: Sequence[bool], backward: Callable[..., tuple]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, residual, weight and bias; ``backward`` is how the kernel is reached."""
    s, weight, bias, statistics = ctx.saved_tensors
    x_dtype, residual_dtype = ctx.dtypes
    dy = s.new_zeros(s.shape, dtype=x_dtype) if dy is None else dy
    if torch.is_grad_enabled():

        def again(s: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return normalize(s, weight, bias, ctx.settings, x_dtype)[0]

        total, dw, db = differentiable(again, dy, s, weight, bias)
        total = total if ds is None else total + ds
        return total.to(x_dtype), None if residual_dtype is None else total.to(residual_dtype), dw, db
    parameter_dtype = s.dtype if weight is bias is None else (bias if weight is None else weight).dtype
    dx, dr, dw, db = backward(dy, ds, s, statistics, weight, ctx.settings, x_dtype, parameter_dtype, wanted)
    if residual_dtype is not None:
        dr = (dx if x_dtype == s.dtype else dr).to(residual_dtype)
    return dx, None if residual_dtype is None else dr, *parameter_gradients(dw, db, weight, bias)
