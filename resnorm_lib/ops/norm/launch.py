"""From tensors to launches of the norm kernels: rows, strides, outputs, tiles. All tensors here are on one device."""

import torch

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import as_rows, dense

__all__ = ["backward", "forward"]


def stride(x):
    return 0 if x is None else x.stride(0)


def forward(x, residual, weight, bias, settings, keep):
    """Return y, the sum s (None unless ``keep``), the means (None for RMSNorm) and one over the root of each row."""
    from resnorm_lib.ops.norm import kernels

    rows, stream = as_rows(x), as_rows(residual)
    m, n = rows.shape
    dtype = x.dtype if residual is None else torch.promote_types(x.dtype, residual.dtype)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    s = torch.empty(x.shape, dtype=dtype, device=x.device) if keep else None
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    mean = None if settings.rms else torch.empty(m, dtype=wide, device=x.device)
    rstd = torch.empty(m, dtype=wide, device=x.device)
    config = launch.row_forward(n, dtype.itemsize)
    if m and n:
        launch.start(
            kernels.norm_forward_chunked if config.chunked(n) else kernels.norm_forward, -(-m // config.rows), config,
            x, rows, stream, dense(weight), dense(bias), y, s, mean, rstd, m,
            N=n, X_STRIDE=stride(rows), R_STRIDE=stride(stream), EPS=settings.eps, RMS=settings.rms,
            ZERO_CENTERED=settings.zero_centered_gain, WIDE_STREAM=dtype == wide, DOUBLE=wide == torch.float64,
        )  # fmt: skip
    return y, s, mean, rstd


def backward(dy, ds, s, mean, rstd, weight, settings, x_dtype, parameter_dtype, wanted):
    """Return dx, dr (None where dx is dr: where x has the dtype of s), dw and db (None where not ``wanted``)."""
    from resnorm_lib.ops.norm import kernels_backward as kernels

    sums, dys, later = as_rows(s), as_rows(dy), as_rows(ds)
    m, n = sums.shape
    dx = torch.empty(s.shape, dtype=x_dtype, device=s.device)
    dr = None if x_dtype == s.dtype else torch.empty(s.shape, dtype=s.dtype, device=s.device)
    if not (m and n):
        return dx, dr, *(torch.zeros(n, dtype=parameter_dtype, device=s.device) if w else None for w in wanted)
    widest = max(t.element_size() for t in (s, dy, dx))
    config = launch.row_backward(n, widest, 2 + (ds is not None), sum(wanted))
    programs = launch.num_programs(-(-m // config.rows), s.device, config.per_sm)
    part = torch.empty((sum(wanted), programs, n), dtype=statistics_dtype(s), device=s.device)
    launch.start(
        kernels.norm_backward_chunked if config.chunked(n) else kernels.norm_backward, programs, config, s,
        dys, later, sums, mean, rstd, dense(weight), dx, dr, *launch.halves(part, wanted), m,
        N=n, DY_STRIDE=stride(dys), DS_STRIDE=stride(later), S_STRIDE=stride(sums),
        ZERO_CENTERED=settings.zero_centered_gain, DOUBLE=s.dtype == torch.float64,
    )  # fmt: skip
    return dx, dr, *launch.sum_programs(part, parameter_dtype, wanted)
