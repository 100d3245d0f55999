"""GroupNorm: each sample by itself, over groups of its channels."""

import torch
from torch import Tensor

from resnorm_lib._arguments import number, positive_int
from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops._checks import check_parameter, check_shapes, describe, is_floating
from resnorm_lib.ops.autograd import channels_last_gradient
from resnorm_lib.ops.dispatch import is_eager, uses_kernels
from resnorm_lib.ops.group_norm import eager

__all__ = ["group_norm"]


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    r"""Normalize groups of channels of each sample.

    .. math:: y_{nc\cdot} = w_c \frac{x_{nc\cdot} - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \varepsilon}} + b_c

    with mean and (biased) variance over the C/G channels of the group :math:`g \ni c` and all positions. The kernel
    reads x once and writes y once where a group fits into registers (32768 numbers), and reads x twice where not; its
    backward pass reads x and dy once, or twice above 16384. Channels-last tensors stay as they are. Statistics are
    kept in float32 (float64 for float64); y has the dtype of x, under autocast too. Which version runs:
    :class:`resnorm_lib.ops.kernels`.

    On a CPU the torch version normalizes a channels-last input in the default layout, because torch's channels-last
    kernel there computes the variance as :math:`\overline{x^2} - \overline{x}^2`, which cancels.

    Parameters
    ----------
    x : floating point tensor, shape (N, C) or (N, C, ...)
    num_groups : int
        G, a divisor of C.
    weight, bias : tensor, shape (C,), optional
    eps : float
        Inside the root.

    Returns
    -------
    y : tensor of the shape and dtype of x.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Wu and He (2018), arXiv:1803.08494.

    Examples
    --------
    >>> group_norm(torch.tensor([[1.0, 3.0, 10.0, 30.0]]), 2).round(decimals=3)
    tensor([[-1.,  1., -1.,  1.]])
    """
    _check(x, num_groups, weight, bias)
    return normalize_groups(x, num_groups, weight, bias, number("eps", eps, at_least=0))


def normalize_groups(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Normalize groups of channels by the Triton kernel or by torch. Arguments are already validated."""
    doubles = [p for p in (weight, bias) if p is not None and p.dtype == torch.float64]
    if uses_kernels(x) and (x.dtype == torch.float64 or not doubles):
        check_shapes((x.shape[1],), weight=weight, bias=bias)
        if is_eager(x, weight, bias):
            return eager.group_norm(x, num_groups, weight, bias, eps)
        from resnorm_lib.ops.group_norm.registered import group_norm as kernel

        return kernel(x, num_groups, weight, bias, eps)[0]
    if weight is None and bias is not None:
        weight = torch.ones_like(bias)  # without it the backward pass of torch 2.13 fails where there is a bias
    # torch.group_norm, because F.group_norm refuses groups of one element in a batch of one, and in no larger one.
    if x.device.type != "cpu" and any(p is not None and p.dtype != x.dtype for p in (weight, bias)):
        wide = statistics_dtype(x)  # there torch takes parameters of the dtype of x alone
        weight, bias = (p if p is None else p.to(wide) for p in (weight, bias))
        return torch.group_norm(x.to(wide), num_groups, weight, bias, eps).to(x.dtype)
    if x.is_contiguous() or x.device.type != "cpu":
        return torch.group_norm(x, num_groups, weight, bias, eps)
    y = torch.group_norm(channels_last_gradient(x).contiguous(), num_groups, weight, bias, eps)
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return y.contiguous(memory_format=torch.channels_last) if channels_last else y


def _check(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None) -> None:
    if not is_floating(x) or x.dim() < 2:
        raise ValueError(f"x {describe(x)}, but it must be a floating point tensor (N, C) or (N, C, ...).")
    channels = x.shape[1]
    if channels % positive_int("num_groups", num_groups) or not channels:
        raise ValueError(f"num_groups is {num_groups}, but it must divide the {channels} channels of x.")
    for name, parameter in (("weight", weight), ("bias", bias)):
        check_parameter(name, parameter, x, channels)
