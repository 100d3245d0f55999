"""A residual add and the norm after it as an operation of torch: ``resnorm::add_norm``. Imported when it first runs."""

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.norm import launch as norm_launch
from resnorm_lib.ops.norm.registered import differentiable, fake_outputs, parameter_gradients
from resnorm_lib.ops.norm.torch_version import branch_gradient, normalize, stream, stream_dtype


@triton_op("resnorm::add_norm", mutates_args=())
def _add_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    row_scale: Tensor | None,
    seed: Tensor | None,
    eps: float,
    rms: bool,
    zero_centered_gain: bool,
    dropout_p: float,
    wide_stream: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, s (empty unless ``keep``), the means (empty for RMSNorm) and one over the root."""
    if runs_kernel(x):
        y, s, mean, rstd = norm_launch.forward(
            x, residual, weight, bias, row_scale, seed, eps, rms, zero_centered_gain, dropout_p, wide_stream, keep
        )
    else:
        s = stream(x, residual, row_scale, seed, dropout_p, wide_stream).contiguous()
        y, mean, rstd = normalize(s, weight, bias, eps, rms, zero_centered_gain, x.dtype)
        y, mean, rstd = y.contiguous(), None if rms else mean.flatten(), rstd.flatten()
    return y, s if keep else residual.new_empty(0), rstd.new_empty(0) if rms else mean, rstd


@_add_norm.register_fake
def _(x, residual, weight, bias, row_scale, seed, eps, rms, zero_centered_gain, dropout_p, wide_stream, keep):
    y, mean, rstd = fake_outputs(x, rms)
    s = x.new_empty(x.shape, dtype=stream_dtype(residual, wide_stream)) if keep else residual.new_empty(0)
    return y, s, mean, rstd


def _setup(ctx, inputs, output):
    x, residual, weight, bias, row_scale, seed, *ctx.settings, keep = inputs
    _, s, mean, rstd = output
    if not keep:
        raise RuntimeError("resnorm::add_norm has not kept the sum that its gradient needs: call it with keep=True.")
    ctx.dtypes = x.dtype, residual.dtype
    ctx.save_for_backward(s, weight, bias, mean, rstd, row_scale, seed)
    ctx.mark_non_differentiable(mean, rstd)
    ctx.set_materialize_grads(False)


def _backward(ctx, dy, ds, dmean, drstd):
    s, weight, bias, mean, rstd, row_scale, seed = ctx.saved_tensors
    _, rms, zero_centered_gain, dropout_p, _ = ctx.settings
    x_dtype, residual_dtype = ctx.dtypes
    dy = s.new_zeros(s.shape, dtype=x_dtype) if dy is None else dy
    if torch.is_grad_enabled():
        grads = _differentiable_backward(ctx, dy, ds, s, weight, bias, row_scale, seed)
        return *grads, *(None,) * 8
    one = row_scale is None and seed is None and x_dtype == residual_dtype
    dtype = (s if weight is None and bias is None else bias if weight is None else weight).dtype
    dx, dr, dw, db = torch.ops.resnorm.norm_backward(
        dy, ds, s, None if rms else mean, rstd, weight, row_scale, seed, zero_centered_gain, dropout_p,
        x_dtype, None if one else residual_dtype, dtype, *ctx.needs_input_grad[2:4],
    )  # fmt: skip
    return dx, dx if one else dr, *parameter_gradients(dw, db, weight, bias), *(None,) * 8


def _differentiable_backward(ctx, dy, ds, s, weight, bias, row_scale, seed):
    """dx, dr, dw and db in operations that can be differentiated; s is the stored sum, with its own history."""
    eps, rms, zero_centered_gain, dropout_p, _ = ctx.settings
    x_dtype, residual_dtype = ctx.dtypes

    def again(s, weight, bias):
        return normalize(s, weight, bias, eps, rms, zero_centered_gain, x_dtype)[0]

    total, dw, db = differentiable(again, dy, s, weight, bias)
    total = total if ds is None else total + ds
    return branch_gradient(total, row_scale, seed, dropout_p).to(x_dtype), total.to(residual_dtype), dw, db


_add_norm.register_autograd(_backward, setup_context=_setup)
