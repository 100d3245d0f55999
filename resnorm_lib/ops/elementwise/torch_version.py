"""The torch version of DynamicTanh and Derf, in operations that can be differentiated any number of times."""

import math

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype, upcast

__all__ = ["tanh_or_erf", "tanh_or_erf_backward"]


def tanh_or_erf(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return w * tanh(alpha * x) + b, or with a ``shift`` s w * erf(alpha * x + s) + b, in the dtype of x."""
    z = alpha * upcast(x)
    y = torch.tanh(z) if shift is None else torch.erf(z + shift)
    if weight is not None:
        y = weight * y
    return (y if bias is None else y + bias).to(x.dtype)


def tanh_or_erf_backward(
    dy: Tensor, x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, n: int
) -> tuple[Tensor, ...]:
    """Return dx, dalpha, dshift, dw and db in the dtype of statistics, for rows of ``n`` numbers.

    The formulas of :func:`resnorm_lib.reference.dynamic_tanh_backward` and ``derf_backward``.
    """
    wide = statistics_dtype(x)
    dy, x = dy.to(wide), x.to(wide)
    z = alpha * x if shift is None else alpha * x + shift
    t = torch.tanh(z) if shift is None else torch.erf(z)
    slope = 1 - t * t if shift is None else 2 / math.sqrt(math.pi) * torch.exp(-z * z)
    g = dy * slope if weight is None else weight * dy * slope
    over_rows = (dy * t).reshape(-1, n).sum(0), dy.reshape(-1, n).sum(0)
    return alpha * g, (g * x).sum().view(1), g.sum().view(1), *over_rows
