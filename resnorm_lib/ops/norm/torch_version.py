"""The torch versions of the fused norms, in elementary operations that can be differentiated any number of times.

They run where a registered operation meets a CPU, where a backward pass is itself differentiated, and beside the
kernels in the tests. All work on the last axis, in float32, or float64 for float64, and round once at the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops.autograd import in_forward_mode

__all__ = ["Settings", "layer_norm", "normalize", "normalize_backward"]


class Settings(NamedTuple):
    """What makes a norm of the last axis the one it is."""

    eps: float  # added under the root
    rms: bool  # RMSNorm: no mean is subtracted
    zero_centered_gain: bool  # the gain is 1 + weight


def gain(weight: Tensor, settings: Settings, dtype: torch.dtype) -> Tensor:
    """Return the gain in the dtype of the statistics: in a narrower one, 1 + w would round w away."""
    return 1 + weight.to(dtype) if settings.zero_centered_gain else weight.to(dtype)


def normalize(
    s: Tensor, weight: Tensor | None, bias: Tensor | None, settings: Settings, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return y in ``dtype`` and the statistics: one over the root of each row, then but for RMSNorm the means."""
    wide = statistics_dtype(s)
    s = s.to(wide)
    mean = None if settings.rms else s.mean(-1, keepdim=True)
    centred = s if settings.rms else s - mean
    rstd = 1 / (centred.square().mean(-1, keepdim=True) + settings.eps).sqrt()
    y = centred * rstd
    if weight is not None:
        y = y * gain(weight, settings, wide)
    if bias is not None:
        y = y + bias.to(wide)
    return y.to(dtype), (rstd if settings.rms else torch.stack([rstd, mean])).flatten()


def layer_norm(x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Return torch's fused layer norm over the last axes, and where its second derivatives are wrong the formula."""
    if not in_forward_mode():
        return torch.layer_norm(x, shape, weight, bias, eps)
    weight, bias = (p if p is None else p.flatten() for p in (weight, bias))
    return normalize(x.flatten(-len(shape)), weight, bias, Settings(eps, False, False), x.dtype)[0].view(x.shape)


def normalize_backward(
    dy: Tensor, s: Tensor, statistics: Tensor, weight: Tensor | None, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of s, weight and bias, in the dtype of the statistics, which the forward pass has kept.

    The formulas of :func:`resnorm_lib.reference.layer_norm_backward`.
    """
    wide = statistics_dtype(s)
    dy = dy.to(wide)
    rstd, *mean = statistics.view(1 if settings.rms else 2, *s.shape[:-1], 1)
    s_hat = (s.to(wide) if settings.rms else s.to(wide) - mean[0]) * rstd
    g = dy if weight is None else dy * gain(weight, settings, wide)
    ds = g - s_hat * (g * s_hat).mean(-1, keepdim=True)
    if not settings.rms:
        ds = ds - g.mean(-1, keepdim=True)
    rows = tuple(range(dy.dim() - 1))
    return ds * rstd, (dy * s_hat).sum(rows), dy.sum(rows)
