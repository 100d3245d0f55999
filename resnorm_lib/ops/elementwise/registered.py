"""DynamicTanh, Derf and the scaled add as operations of torch: ``resnorm::squash``. Imported when one first runs."""

import math

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.elementwise import launch
from resnorm_lib.ops.elementwise.torch_version import squash_torch
from resnorm_lib.ops.norm.registered import differentiable


@triton_op("resnorm::squash", mutates_args=())
def _squash(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """tanh, or with a ``shift`` erf."""
    if runs_kernel(x):
        return launch.squash_forward(x, alpha, shift, weight, bias)
    return squash_torch(x, alpha, shift, weight, bias).contiguous()


@_squash.register_fake
def _(x, alpha, shift, weight, bias):
    return x.new_empty(x.shape)


@triton_op("resnorm::squash_backward", mutates_args=())
def _squash_backward(
    dy: Tensor,
    x: Tensor,
    alpha: Tensor,
    shift: Tensor | None,
    weight: Tensor | None,
    n: int,
    wants_alpha: bool,
    wants_shift: bool,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """dx in the dtype of x; in float32, or float64 for float64, dalpha, dshift, dw and db, empty where not wanted."""
    wanted = (wants_alpha, wants_shift, wants_weight, wants_bias)
    if runs_kernel(x):
        grads = launch.squash_backward(dy, x, alpha, shift, weight, n, wanted)
    else:
        dx, *parameters = squash_backward_torch(dy, x, alpha, shift, weight, n)
        grads = (dx.to(x.dtype).contiguous(), *(p if w else None for p, w in zip(parameters, wanted)))
    return tuple(x.new_empty(0) if grad is None else grad for grad in grads)


@_squash_backward.register_fake
def _(dy, x, alpha, shift, weight, n, wants_alpha, wants_shift, wants_weight, wants_bias):
    sizes = zip((1, 1, n, n), (wants_alpha, wants_shift, wants_weight, wants_bias))
    wide = launch.wide_of(x)
    parameters = (x.new_empty(size, dtype=wide) if wanted else x.new_empty(0) for size, wanted in sizes)
    return x.new_empty(x.shape), *parameters


def squash_backward_torch(dy, x, alpha, shift, weight, n):
    """The formulas of :func:`resnorm_lib.reference.dynamic_tanh_backward` and ``derf_backward``, wide."""
    wide = launch.wide_of(x)
    dy, x = dy.to(wide), x.to(wide)
    z = alpha * x if shift is None else alpha * x + shift
    t = torch.tanh(z) if shift is None else torch.erf(z)
    slope = 1 - t * t if shift is None else 2 / math.sqrt(math.pi) * torch.exp(-z * z)
    g = dy * slope if weight is None else weight * dy * slope
    over_rows = (dy * t).reshape(-1, n).sum(0), dy.reshape(-1, n).sum(0)
    return alpha * g, (g * x).sum().view(1), g.sum().view(1), *over_rows


def _setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, dy):
    x, alpha, shift, weight, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        return tuple(differentiable(squash_torch, dy, x, alpha, shift, weight, bias))
    n = launch.row_length(x, bias if weight is None else weight)
    dx, *parameters = torch.ops.resnorm.squash_backward(dy, x, alpha, shift, weight, n, *ctx.needs_input_grad[1:])
    pairs = zip(parameters, (alpha, shift, weight, bias))
    return dx, *(g.to(p.dtype).view(p.shape) if p is not None and g.numel() else None for g, p in pairs)


_squash.register_autograd(_backward, setup_context=_setup)


@triton_op("resnorm::scaled_add", mutates_args=())
def _scaled_add(residual: Tensor, x: Tensor, scale: float) -> Tensor:
    if runs_kernel(residual):
        return launch.scaled_add(residual, x, scale)
    wide = launch.wide_of(residual)
    return (residual.to(wide) + scale * x.to(wide)).to(residual.dtype).contiguous()


@_scaled_add.register_fake
def _(residual, x, scale):
    return residual.new_empty(residual.shape)


def _setup_add(ctx, inputs, output):
    _, x, ctx.scale = inputs
    ctx.dtype = x.dtype


def _backward_add(ctx, dy):
    # One product, which torch can differentiate. The gradient of the stream is dy itself and moves no byte.
    return dy, (ctx.scale * dy).to(ctx.dtype), None


_scaled_add.register_autograd(_backward_add, setup_context=_setup_add)
