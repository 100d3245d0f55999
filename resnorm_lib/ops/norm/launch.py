"""From tensors to launches of the norm kernels: rows, strides, outputs, tiles. All tensors here are on one device."""

import torch

from resnorm_lib.ops import launch
from resnorm_lib.ops.norm.dropout import ROUNDS, keep_scale, threshold
from resnorm_lib.ops.norm.torch_version import stream_dtype, wide_dtype

__all__ = ["backward", "forward"]


def as_rows(x):
    """``x`` as (M, N) with its numbers next to each other: a view where the strides allow it, else a copy."""
    if x is None:
        return None
    n = x.shape[-1]
    x = x.reshape(x.numel() // n if n else 0, n)
    return x if x.stride(1) == 1 or n == 1 else x.contiguous()


def stride(x):
    return 0 if x is None else x.stride(0)


def dense(x):
    return None if x is None else x.contiguous()


def dropout_constants(seed, p):
    p = 0.0 if seed is None else p
    return {"THRESHOLD": threshold(p), "KEEP_SCALE": keep_scale(p), "ROUNDS": ROUNDS}


def forward(x, residual, weight, bias, row_scale, seed, eps, rms, zero_centered_gain, dropout_p, wide_stream, keep):
    """y, s (None unless ``keep``), the means (None for RMSNorm) and one over the root of each row."""
    from resnorm_lib.ops.norm import kernels

    rows, branch = as_rows(x), as_rows(residual)
    m, n = rows.shape
    wide, stored = wide_dtype(x), None if residual is None else stream_dtype(residual, wide_stream)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    s = torch.empty(x.shape, dtype=stored, device=x.device) if keep else None
    mean = None if rms else torch.empty(m, dtype=wide, device=x.device)
    rstd = torch.empty(m, dtype=wide, device=x.device)
    widest = max(x.element_size(), 0 if residual is None else stored.itemsize)
    config = launch.row_forward(n, widest)
    if m and n:
        kernel = kernels.norm_forward_chunked if config.chunked(n) else kernels.norm_forward
        launch.start(
            kernel, -(-m // config.rows), config, x,
            rows, branch, dense(row_scale), seed, dense(weight), dense(bias), y, s, mean, rstd, m,
            N=n, X_STRIDE=stride(rows), R_STRIDE=stride(branch), EPS=eps, RMS=rms, ZERO_CENTERED=zero_centered_gain,
            WIDE_STREAM=stored == wide, DOUBLE=wide == torch.float64, **dropout_constants(seed, dropout_p),
        )  # fmt: skip
    return y, s, mean, rstd


def backward(dy, ds, s, mean, rstd, weight, row_scale, seed, zero_centered_gain, dropout_p, dtypes, wanted):
    """dx, dr, dw and db. ``dtypes``: of x, of r (None: dr is dx, or there is none), of the parameters.

    ``wanted`` says whether the gradient of the gain and that of the offset are wanted; else they are None.
    """
    from resnorm_lib.ops.norm import kernels_backward as kernels

    sums, dys, later = as_rows(s), as_rows(dy), as_rows(ds)
    m, n = sums.shape
    double = s.dtype == torch.float64
    dx = torch.empty(s.shape, dtype=dtypes[0], device=s.device)
    dr = None if dtypes[1] is None else torch.empty(s.shape, dtype=dtypes[1], device=s.device)
    if not (m and n):
        return dx, dr, *(torch.zeros(n, dtype=dtypes[2], device=s.device) if w else None for w in wanted)
    widest = max(t.element_size() for t in (s, dy, dx))
    config = launch.row_backward(n, widest, 2 + (ds is not None), sum(wanted), seed is not None)
    programs = launch.num_programs(-(-m // config.rows), s.device, config.per_sm)
    part = torch.empty((sum(wanted), programs, n), dtype=wide_dtype(s), device=s.device)
    parts = [part[0] if wanted[0] else None, part[-1] if wanted[1] else None]
    launch.start(
        kernels.norm_backward_chunked if config.chunked(n) else kernels.norm_backward, programs, config, s,
        dys, later, sums, mean, rstd, dense(weight), dense(row_scale), seed, dx, dr, *parts, m,
        N=n, DY_STRIDE=stride(dys), DS_STRIDE=stride(later), S_STRIDE=stride(sums), ZERO_CENTERED=zero_centered_gain,
        DOUBLE=double, **dropout_constants(seed, dropout_p),
    )  # fmt: skip
    return dx, dr, *launch.sum_programs(part, dtypes[2], wanted)
