"""A residual add and the norm after it as an operation of torch: ``resnorm::add_norm``. Imported when it first runs."""

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib.ops.autograd import differentiable, parameter_gradients
from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.norm import launch
from resnorm_lib.ops.norm.registered import fake_statistics, norm_backward, normalize_flat, parameter_dtype
from resnorm_lib.ops.norm.torch_version import Settings, normalize


@triton_op("resnorm::add_norm", mutates_args=())
def add_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    rms: bool,
    zero_centered_gain: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return y, the sum s (empty unless ``keep``), the means (empty for RMSNorm) and one over the root."""
    settings = Settings(eps, rms, zero_centered_gain)
    if runs_kernel(x):
        y, s, mean, rstd = launch.forward(x, residual, weight, bias, settings, keep)
        mean = rstd.new_empty(0) if rms else mean
    else:
        s = (residual + x).contiguous()
        y, mean, rstd = normalize_flat(s, weight, bias, settings, x.dtype)
    return y, s if keep else residual.new_empty(0), mean, rstd


@add_norm.register_fake
def _(x, residual, weight, bias, eps, rms, zero_centered_gain, keep):
    s = x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, residual.dtype))
    return x.new_empty(x.shape), s if keep else residual.new_empty(0), *fake_statistics(s, rms)


def _setup(ctx, inputs, output):
    x, residual, weight, bias, *settings, keep = inputs
    _, s, mean, rstd = output
    if not keep:
        raise RuntimeError("resnorm::add_norm has not kept the sum that its gradient needs: call it with keep=True.")
    ctx.settings, ctx.dtypes = Settings(*settings), (x.dtype, residual.dtype)
    ctx.save_for_backward(s, weight, bias, mean, rstd)
    ctx.mark_non_differentiable(mean, rstd)
    ctx.set_materialize_grads(False)


def _backward(ctx, dy, ds, dmean, drstd):
    s, weight, bias, mean, rstd = ctx.saved_tensors
    x_dtype, residual_dtype = ctx.dtypes
    dy = s.new_zeros(s.shape, dtype=x_dtype) if dy is None else dy
    if torch.is_grad_enabled():

        def again(s, weight, bias):
            return normalize(s, weight, bias, ctx.settings, x_dtype)[0]

        total, dw, db = differentiable(again, dy, s, weight, bias)
        total = total if ds is None else total + ds
        return total.to(x_dtype), total.to(residual_dtype), dw, db, *(None,) * 4
    dx, dr, dw, db = norm_backward(
        dy, ds, s, mean, rstd, weight, *ctx.settings[1:], x_dtype, parameter_dtype(s, weight, bias),
        *ctx.needs_input_grad[2:4],
    )  # fmt: skip
    dr = (dx if x_dtype == s.dtype else dr).to(residual_dtype)
    return dx, dr, *parameter_gradients(dw, db, weight, bias), *(None,) * 4


add_norm.register_autograd(_backward, setup_context=_setup)
