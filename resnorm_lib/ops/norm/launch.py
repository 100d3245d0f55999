"""From tensors to launches of the norm kernels: rows, strides, outputs, tiles. All tensors here are on one device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import Plan, Sums, as_rows, dense, dtypes, empty, planned
from resnorm_lib.ops.norm.torch_version import Settings

__all__ = ["backward", "forward"]

Dtypes = tuple[torch.dtype | None, ...]


@planned
def forward_plan(
    n: int, kinds: Dtypes, strides: tuple[int, ...], settings: Settings, keep: bool, statistics: bool
) -> tuple[Plan, torch.dtype, torch.dtype]:
    """Return the plan for x, stream, gain and bias of these dtypes, and the dtypes of their sum and of statistics."""
    from resnorm_lib.ops.norm import kernels

    dtype = kinds[0] if kinds[1] is None else torch.promote_types(*kinds[:2])
    wide = statistics_dtype(dtype)
    config = launch.row_forward(n, dtype.itemsize)
    plan = Plan(
        kernels.norm_forward_chunked if config.chunked(n) else kernels.norm_forward, config,
        N=n, X_STRIDE=strides[0], R_STRIDE=strides[1], EPS=settings.eps, RMS=settings.rms,
        ZERO_CENTERED=settings.zero_centered_gain, WIDE_STREAM=dtype == wide, DOUBLE=wide == torch.float64,
    )  # fmt: skip
    return plan, dtype, wide


def forward(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    settings: Settings,
    keep: bool = False,
    statistics: bool = True,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return y, the sum s (None unless ``keep``), and unless they are not wanted the ``statistics``.

    They are one over the root of each row, then but for RMSNorm the means, in one tensor: a call allocates few.
    """
    n = x.shape[-1]
    (rows, stride), (stream, stream_stride) = as_rows(x, n), as_rows(residual, n)
    weight, bias = dense(weight), dense(bias)
    kinds = dtypes(x, residual, weight, bias)
    plan, dtype, wide = forward_plan(int(n), kinds, (int(stride), int(stream_stride)), settings, keep, statistics)
    m = x.numel() // n if n else 0
    y = empty(x)
    s = empty(x, dtype) if keep else None
    kept = x.new_empty(m if settings.rms else 2 * m, dtype=wide) if statistics else None
    if m and n:
        plan((-(-m // plan.config.rows), 1, 1), x, rows, stream, weight, bias, y, s, kept, m)
    return y, s, kept


@planned
def backward_plan(
    n: int,
    kinds: Dtypes,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    strides: tuple[int, ...],
    settings: Settings,
    wanted: tuple[bool, ...],
) -> tuple[Plan, Sums]:
    """Return the plan for dy, the gradient of the sum that comes in later, the sum and the gain of these dtypes."""
    from resnorm_lib.ops.norm import kernels_backward as kernels

    dy_dtype, later, dtype, _ = kinds
    widest = max(kind.itemsize for kind in (dy_dtype, dtype, x_dtype))
    config = launch.row_backward(n, widest, 2 if later is None else 3, sum(wanted))
    chunked = config.chunked(n)
    plan = Plan(
        kernels.norm_backward_chunked if chunked else kernels.norm_backward, config,
        **({} if chunked else {"AGAIN": config.again}),
        N=n, DY_STRIDE=strides[0], DS_STRIDE=strides[1], S_STRIDE=strides[2],
        RMS=settings.rms, ZERO_CENTERED=settings.zero_centered_gain, DOUBLE=dtype == torch.float64,
        WANTS_W=wanted[0], WANTS_B=wanted[1],
    )  # fmt: skip
    return plan, Sums(n, wanted, statistics_dtype(dtype), parameter_dtype)


def backward(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    settings: Settings,
    x_dtype: torch.dtype,
    parameter_dtype: torch.dtype,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Return dx, dr (None where dx is dr: where x has the dtype of s), dw and db (None where not ``wanted``)."""
    n = s.shape[-1]
    m = s.numel() // n if n else 0
    dx, dr = (empty(s), None) if x_dtype is s.dtype else (empty(s, x_dtype), empty(s))
    if not (m and n):
        return dx, dr, *(torch.zeros(n, dtype=parameter_dtype, device=s.device) if w else None for w in wanted)
    (rows, stride), (dys, dy_stride), (later, ds_stride) = as_rows(s, n), as_rows(dy, n), as_rows(ds, n)
    weight = dense(weight)
    strides = int(dy_stride), int(ds_stride), int(stride)
    kinds = dtypes(dy, ds, s, weight)
    plan, sums = backward_plan(int(n), kinds, x_dtype, parameter_dtype, strides, settings, wanted)
    programs = launch.num_programs(-(-m // plan.config.rows), s.device, plan.config.per_sm)
    part = sums.room(s, programs)
    plan((programs, 1, 1), s, dys, later, rows, statistics, weight, dx, dr, part, m)
    return dx, dr, *sums.add_up(part, programs)
