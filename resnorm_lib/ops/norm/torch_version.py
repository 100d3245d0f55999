"""The torch versions of the fused norms, in elementary operations that can be differentiated any number of times.

They run where a registered operation meets a CPU, where a backward pass is itself differentiated, and beside the
kernels in the tests. All work on the last axis, in float32, or float64 for float64, and round once at the end.
"""

import torch

from resnorm_lib.ops.norm.dropout import drop

__all__ = ["branch_gradient", "normalize", "normalize_backward", "stream", "stream_dtype", "wide_dtype"]


def wide_dtype(x):
    """The dtype of statistics."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def stream_dtype(residual, in_fp32):
    """The dtype in which the sum is stored."""
    return wide_dtype(residual) if in_fp32 else residual.dtype


def gain(weight, zero_centered_gain, wide):
    """The gain in the wide dtype: 1 + w must not round w away."""
    return 1 + weight.to(wide) if zero_centered_gain else weight.to(wide)


def stream(x, residual, row_scale, seed, dropout_p, in_fp32):
    """residual + row_scale * dropout(x), rounded once."""
    wide = wide_dtype(x)
    branch = drop(x.to(wide), seed, dropout_p)
    if row_scale is not None:
        branch = branch * row_scale.to(wide).unsqueeze(-1)
    return (residual.to(wide) + branch).to(stream_dtype(residual, in_fp32))


def branch_gradient(ds, row_scale, seed, dropout_p):
    """The gradient with respect to x of :func:`stream`, from that with respect to the sum."""
    return drop(ds if row_scale is None else ds * row_scale.to(ds.dtype).unsqueeze(-1), seed, dropout_p)


def normalize(s, weight, bias, eps, rms, zero_centered_gain, dtype):
    """y in ``dtype``, the means (None for RMSNorm) and one over the root, each with a last axis of one."""
    wide = wide_dtype(s)
    s = s.to(wide)
    mean = None if rms else s.mean(-1, keepdim=True)
    centred = s if rms else s - mean
    rstd = 1 / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    y = centred * rstd
    if weight is not None:
        y = y * gain(weight, zero_centered_gain, wide)
    if bias is not None:
        y = y + bias.to(wide)
    return y.to(dtype), mean, rstd


def normalize_backward(dy, s, mean, rstd, weight, zero_centered_gain):
    """Gradients with respect to s, weight and bias, all wide, from the statistics of the forward pass.

    The formulas of :func:`resnorm_lib.reference.layer_norm_backward`.
    """
    wide = wide_dtype(s)
    dy = dy.to(wide)
    s_hat = (s.to(wide) if mean is None else s.to(wide) - mean) * rstd
    g = dy if weight is None else dy * gain(weight, zero_centered_gain, wide)
    ds = g - s_hat * (g * s_hat).mean(-1, keepdim=True)
    if mean is not None:
        ds = ds - g.mean(-1, keepdim=True)
    rows = tuple(range(dy.dim() - 1))
    return ds * rstd, (dy * s_hat).sum(rows), dy.sum(rows)
