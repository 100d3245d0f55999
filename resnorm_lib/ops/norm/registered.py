"""LayerNorm and RMSNorm as operations of torch: ``resnorm::norm``, and ``resnorm::norm_backward`` for add + norm too.

This is what torch.compile and export see; eager mode launches the kernels itself (:mod:`resnorm_lib.ops.norm.eager`).
To register a Triton operation torch imports its compiler, which takes a second. So this is imported when first needed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.norm import launch
from resnorm_lib.ops.norm.eager import gradients
from resnorm_lib.ops.norm.torch_version import Settings, normalize, normalize_backward


@triton_op("resnorm::norm", mutates_args=())
def norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rms: bool, zero_centered_gain: bool
) -> tuple[Tensor, Tensor]:
    """Return y and the statistics: one over the root of each row, then but for RMSNorm the means."""
    settings = Settings(eps, rms, zero_centered_gain)
    if runs_kernel(x):
        y, _, statistics = launch.forward(x, None, weight, bias, settings)
    else:
        y, statistics = normalize(x, weight, bias, settings, x.dtype)
    return y.contiguous(), statistics


@norm.register_fake
def _(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rms: bool, zero_centered_gain: bool
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), fake_statistics(x, rms)


def fake_statistics(s: Tensor, rms: bool) -> Tensor:
    return s.new_empty(s.numel() // s.shape[-1] * (1 if rms else 2), dtype=statistics_dtype(s))


@triton_op("resnorm::norm_backward", mutates_args=())
def norm_backward(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    rms: bool,
    zero_centered_gain: bool,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return dx, dr (empty where dx is dr: where x has the dtype of s), dw and db (empty where not wanted)."""
    settings, wanted = Settings(0.0, rms, zero_centered_gain), (wants_weight, wants_bias)
    if runs_kernel(s):
        grads = launch.backward(dy, ds, s, statistics, weight, settings, x_dtype, parameter_dtype, wanted)
    else:
        total, dw, db = normalize_backward(dy, s, statistics, weight, settings)
        total = total if ds is None else total + ds
        dx = total.to(x_dtype, copy=True).contiguous()
        dr = None if x_dtype == s.dtype else total.to(s.dtype, copy=True).contiguous()
        grads = (dx, dr, *(p.to(parameter_dtype) if w else None for p, w in zip((dw, db), wanted)))
    return tuple(s.new_empty(0) if grad is None else grad for grad in grads)


@norm_backward.register_fake
def _(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    rms: bool,
    zero_centered_gain: bool,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, ...]:
    dr = s.new_empty(0 if x_dtype == s.dtype else s.shape)
    sizes = (s.shape[-1] if wanted else 0 for wanted in (wants_weight, wants_bias))
    parameters = (s.new_empty(size, dtype=parameter_dtype if size else s.dtype) for size in sizes)
    return s.new_empty(s.shape, dtype=x_dtype), dr, *parameters


def through_operation(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    settings: Settings,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    """Reach the backward kernel through its registered operation, so that a graph keeps it."""
    return norm_backward(dy, ds, s, statistics, weight, *settings[1:], x_dtype, parameter_dtype, *wanted)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias, *settings = inputs
    _, statistics = output
    ctx.settings, ctx.dtypes = Settings(*settings), (x.dtype, None)
    ctx.save_for_backward(x, weight, bias, statistics)
    ctx.mark_non_differentiable(statistics)


def _backward(ctx: Any, dy: Tensor, dstatistics: Tensor) -> tuple[Tensor | None, ...]:
    dx, _, dw, db = gradients(ctx, dy, None, ctx.needs_input_grad[1:3], through_operation)
    return dx, dw, db, None, None, None


norm.register_autograd(_backward, setup_context=_setup)
