"""The torch version of GroupNorm, in elementary operations that can be differentiated any number of times."""

import math

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype

__all__ = ["normalize", "normalize_backward"]


def normalize(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Return y and the statistics: one over the root of each group of each sample, then the means."""
    wide = statistics_dtype(x)
    groups = x.to(wide).reshape(x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups)
    mean = groups.mean(2, keepdim=True)
    centred = groups - mean
    rstd = 1 / (centred.square().mean(2, keepdim=True) + eps).sqrt()
    y = (centred * rstd).reshape(x.shape)
    for_channels = (-1, *(1,) * (x.dim() - 2))
    if weight is not None:
        y = y * weight.to(wide).view(for_channels)
    if bias is not None:
        y = y + bias.to(wide).view(for_channels)
    return y.to(x.dtype), torch.stack([rstd, mean]).flatten()


def normalize_backward(
    dy: Tensor, x: Tensor, statistics: Tensor, weight: Tensor | None, num_groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dx, dw and db in the dtype of the statistics: :func:`resnorm_lib.reference.group_norm_backward`."""
    n, c = x.shape[:2]
    wide, positions = statistics_dtype(x), x.shape[2:].numel()
    dy = dy.to(wide).reshape(n, num_groups, c // num_groups, positions)
    rstd, mean = statistics.view(2, n, num_groups, 1, 1)
    x_hat = (x.to(wide).reshape(dy.shape) - mean) * rstd
    g = dy if weight is None else dy * weight.to(wide).view(num_groups, -1, 1)
    dx = (g - g.mean((2, 3), keepdim=True) - x_hat * (g * x_hat).mean((2, 3), keepdim=True)) * rstd
    return dx.reshape(x.shape), (dy * x_hat).sum((0, 3)).flatten(), dy.sum((0, 3)).flatten()
