"""LayerNorm and RMSNorm as operations of torch: ``resnorm::norm``, and ``resnorm::norm_backward`` for add + norm too.

To register a Triton operation torch imports its compiler, which takes a second. So this is imported when a kernel
first runs.
"""

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.norm import launch as norm_launch
from resnorm_lib.ops.norm.torch_version import branch_gradient, normalize, normalize_backward, wide_dtype


@triton_op("resnorm::norm", mutates_args=())
def norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rms: bool, zero_centered_gain: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the means (empty for RMSNorm) and one over the root."""
    if runs_kernel(x):
        y, _, mean, rstd = norm_launch.forward(
            x, None, weight, bias, None, None, eps, rms, zero_centered_gain, 0.0, False, False
        )
    else:
        y, mean, rstd = normalize(x, weight, bias, eps, rms, zero_centered_gain, x.dtype)
        y, mean, rstd = y.contiguous(), None if rms else mean.flatten(), rstd.flatten()
    return y, rstd.new_empty(0) if rms else mean, rstd


@norm.register_fake
def _(x, weight, bias, eps, rms, zero_centered_gain):
    return fake_outputs(x, rms)


def fake_outputs(x, rms):
    rows = x.numel() // x.shape[-1]
    mean, rstd = (x.new_empty(size, dtype=wide_dtype(x)) for size in (0 if rms else rows, rows))
    return x.new_empty(x.shape), mean, rstd


@triton_op("resnorm::norm_backward", mutates_args=())
def norm_backward(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    mean: Tensor | None,
    rstd: Tensor,
    weight: Tensor | None,
    row_scale: Tensor | None,
    seed: Tensor | None,
    zero_centered_gain: bool,
    dropout_p: float,
    x_dtype: torch.dtype,
    residual_dtype: torch.dtype | None,
    parameter_dtype: torch.dtype,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dx, dr, dw and db; empty where not wanted. Without ``residual_dtype``, dr is dx, or there is none."""
    dtypes, wanted = (x_dtype, residual_dtype, parameter_dtype), (wants_weight, wants_bias)
    if runs_kernel(s):
        grads = norm_launch.backward(
            dy, ds, s, mean, rstd, weight, row_scale, seed, zero_centered_gain, dropout_p, dtypes, wanted
        )
    else:
        column = (*s.shape[:-1], 1)
        mean, rstd = None if mean is None else mean.view(column), rstd.view(column)
        total, dw, db = normalize_backward(dy, s, mean, rstd, weight, zero_centered_gain)
        total = total if ds is None else total + ds
        dx = branch_gradient(total, row_scale, seed, dropout_p).to(x_dtype, copy=True).contiguous()
        dr = None if residual_dtype is None else total.to(residual_dtype, copy=True).contiguous()
        grads = (dx, dr, *(p.to(parameter_dtype) if w else None for p, w in zip((dw, db), wanted)))
    return tuple(s.new_empty(0) if grad is None else grad for grad in grads)


@norm_backward.register_fake
def _(dy, ds, s, mean, rstd, weight, row_scale, seed, zero_centered_gain, dropout_p, x_dtype, residual_dtype,
      parameter_dtype, wants_weight, wants_bias):  # fmt: skip
    dr = s.new_empty(0) if residual_dtype is None else s.new_empty(s.shape, dtype=residual_dtype)
    parameters = (
        s.new_empty(s.shape[-1:], dtype=parameter_dtype) if wanted else s.new_empty(0)
        for wanted in (wants_weight, wants_bias)
    )
    return s.new_empty(s.shape, dtype=x_dtype), dr, *parameters


def parameter_gradients(dw, db, weight, bias):
    """The gradients as autograd wants them: in the dtype of the parameter, None for what is not there."""
    return (None if p is None or not g.numel() else g.to(p.dtype) for g, p in ((dw, weight), (db, bias)))


def differentiable(function, dys, *inputs):
    """Gradients of ``function(*inputs)`` that can be differentiated again, None for an input that needs none.

    The statistics are computed anew: to a second derivative those of the forward pass would be constants, and it
    would be wrong. Each input becomes a view, so that one that depends on another is told from it.
    """
    with torch.enable_grad():
        views = [x if x is None else x.view_as(x) for x in inputs]
        needed = [x for x in views if x is not None and x.requires_grad]
        grads = iter(torch.autograd.grad(function(*views), needed, dys, create_graph=True, allow_unused=True))
    return [next(grads) if x is not None and x.requires_grad else None for x in views]


def _setup(ctx, inputs, output):
    x, weight, bias, ctx.eps, ctx.rms, ctx.zero_centered_gain = inputs
    _, mean, rstd = output
    ctx.save_for_backward(x, weight, bias, mean, rstd)
    ctx.mark_non_differentiable(mean, rstd)


def _backward(ctx, dy, dmean, drstd):
    x, weight, bias, mean, rstd = ctx.saved_tensors
    if torch.is_grad_enabled():

        def again(x, weight, bias):
            return normalize(x, weight, bias, ctx.eps, ctx.rms, ctx.zero_centered_gain, x.dtype)[0]

        return *differentiable(again, dy, x, weight, bias), None, None, None
    dtype = (x if weight is None and bias is None else bias if weight is None else weight).dtype
    dx, _, dw, db = torch.ops.resnorm.norm_backward(
        dy, None, x, None if ctx.rms else mean, rstd, weight, None, None, ctx.zero_centered_gain, 0.0,
        x.dtype, None, dtype, *ctx.needs_input_grad[1:3],
    )  # fmt: skip
    return dx, *parameter_gradients(dw, db, weight, bias), None, None, None


norm.register_autograd(_backward, setup_context=_setup)
