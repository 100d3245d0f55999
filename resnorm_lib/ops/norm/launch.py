"""From tensors to launches of the norm kernels: rows, strides, outputs, tiles. All tensors here are on one device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import Plan, as_rows, dense, empty, planned
from resnorm_lib.ops.norm.torch_version import Settings

__all__ = ["backward", "forward"]


@planned
def forward_plan(
    n: int,
    x_dtype: torch.dtype,
    stream_dtype: torch.dtype | None,
    weight_dtype: torch.dtype | None,
    bias_dtype: torch.dtype | None,
    strides: tuple[int, ...],
    settings: Settings,
    keep: bool,
) -> tuple[Plan, torch.dtype, torch.dtype]:
    """Return the plan for tensors of these dtypes and strides, the dtype of what is normalized, and of statistics."""
    from resnorm_lib.ops.norm import kernels

    dtype = x_dtype if stream_dtype is None else torch.promote_types(x_dtype, stream_dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    config = launch.row_forward(n, dtype.itemsize)
    plan = Plan(
        kernels.norm_forward_chunked if config.chunked(n) else kernels.norm_forward, config,
        N=n, X_STRIDE=strides[0], R_STRIDE=strides[1], EPS=settings.eps, RMS=settings.rms,
        ZERO_CENTERED=settings.zero_centered_gain, WIDE_STREAM=dtype == wide, DOUBLE=wide == torch.float64,
    )  # fmt: skip
    return plan, dtype, wide


def forward(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, settings: Settings, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    """Return y, the sum s (None unless ``keep``), the means (None for RMSNorm) and one over the root of each row."""
    (rows, stride), (stream, stream_stride), weight, bias = as_rows(x), as_rows(residual), dense(weight), dense(bias)
    n = x.shape[-1]
    dtypes = (
        x.dtype, residual if residual is None else residual.dtype,
        weight if weight is None else weight.dtype, bias if bias is None else bias.dtype,
    )  # fmt: skip
    plan, dtype, wide = forward_plan(int(n), *dtypes, (int(stride), int(stream_stride)), settings, keep)
    m = x.numel() // n if n else 0
    y = empty(x)
    s = empty(x, dtype) if keep else None
    mean = None if settings.rms else x.new_empty(m, dtype=wide)
    rstd = x.new_empty(m, dtype=wide)
    if m and n:
        plan(-(-m // plan.config.rows), x, rows, stream, weight, bias, y, s, mean, rstd, m)
    return y, s, mean, rstd


@planned
def backward_plan(
    n: int,
    widest: int,
    dtypes: tuple,
    later: bool,
    strides: tuple[int, ...],
    settings: Settings,
    wanted: Sequence[bool],
) -> Plan:
    """Return the plan for these dtypes and strides; ``later`` says whether a gradient of the sum comes in."""
    from resnorm_lib.ops.norm import kernels_backward as kernels

    config = launch.row_backward(n, widest, 2 + later, sum(wanted))
    chunked = config.chunked(n)
    return Plan(
        kernels.norm_backward_chunked if chunked else kernels.norm_backward, config,
        **({} if chunked else {"AGAIN": config.again}),
        N=n, DY_STRIDE=strides[0], DS_STRIDE=strides[1], S_STRIDE=strides[2],
        ZERO_CENTERED=settings.zero_centered_gain, DOUBLE=dtypes[0] == torch.float64,
    )  # fmt: skip


def backward(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    mean: Tensor | None,
    rstd: Tensor,
    weight: Tensor | None,
    settings: Settings,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Return dx, dr (None where dx is dr: where x has the dtype of s), dw and db (None where not ``wanted``)."""
    n = s.shape[-1]
    m = s.numel() // n if n else 0
    dx = empty(s, x_dtype)
    dr = None if x_dtype == s.dtype else empty(s)
    if not (m and n):
        return dx, dr, *(torch.zeros(n, dtype=parameter_dtype, device=s.device) if w else None for w in wanted)
    (sums, stride), (dys, dy_stride), (later, ds_stride), weight = as_rows(s), as_rows(dy), as_rows(ds), dense(weight)
    widest = max(t.element_size() for t in (s, dy, dx))
    dtypes = (s.dtype, x_dtype, dy.dtype, *(t if t is None else t.dtype for t in (ds, weight)), mean is None)
    plan = backward_plan(
        int(n), widest, dtypes, ds is not None, (int(dy_stride), int(ds_stride), int(stride)), settings, wanted
    )
    programs = launch.num_programs(-(-m // plan.config.rows), s.device, plan.config.per_sm)
    part = s.new_empty((sum(wanted), programs, n), dtype=statistics_dtype(s))
    plan(programs, s, dys, later, sums, mean, rstd, weight, dx, dr, *launch.halves(part, wanted), m)
    return dx, dr, *launch.sum_programs(part, parameter_dtype, wanted)
