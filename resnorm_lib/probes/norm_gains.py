r"""What a norm does to sizes: the gain of its output, and the slope by which it multiplies small changes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from resnorm_lib._precision import upcast
from resnorm_lib.probes.statistics import rms

__all__ = ["NORM_CALLS", "entrywise_slope", "gain"]


def gain(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the gain :math:`\mathrm{rms}(y) / \mathrm{rms}(x)` of a norm."""
    return rms(y) / rms(x)


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    return _slope(_variance(x, axes) + eps, weight)


def _rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    axes, x = tuple(range(-len(normalized_shape), 0)), upcast(x)
    return _slope(x.square().mean(axes, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps), weight)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    variance = _variance(x, (0, *range(2, x.dim()))).flatten() if training else upcast(running_var)
    return _slope(variance + eps, weight)


def _group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    variance = _variance(x.reshape(x.shape[0], num_groups, -1), -1).squeeze(-1)
    return _slope(variance.repeat_interleave(x.shape[1] // num_groups, 1) + eps, weight)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    if not use_input_stats:
        return _slope(upcast(running_var) + eps, weight)
    return _group_norm(x, x.shape[1], weight, bias, eps)


def _variance(x: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    # Two passes by hand: torch.var takes ten times as long on a CPU.
    x = upcast(x)
    return (x - x.mean(axes, keepdim=True)).square_().mean(axes, keepdim=True)


def _slope(variance: Tensor, weight: Tensor | None) -> Tensor:
    r"""Return :math:`\sqrt{\overline{w_i^2 / \sigma_r^2}}`, the mean over all features i and rows (or groups) r."""
    squared = 1 if weight is None else upcast(weight).square()
    return (squared / variance).mean().sqrt()


def entrywise_slope(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the slope of a norm that neither centres nor shifts: y/x is then weight over sigma, entry by entry."""
    x, y = upcast(x), upcast(y)
    return torch.where(x != 0, y / x, 0.0).square().sum().div((x != 0).sum()).sqrt()


def _batch_norm_of_torch(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, *rest
) -> Tensor:
    return _batch_norm(x, mean, var, weight, bias, *rest)


def _instance_norm_of_torch(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, *rest
) -> Tensor:
    return _instance_norm(x, mean, var, weight, bias, *rest)


NORM_CALLS: dict[Callable, Callable[..., Tensor]] = {
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.batch_norm: _batch_norm,
    F.group_norm: _group_norm,
    F.instance_norm: _instance_norm,
    torch.layer_norm: _layer_norm,
    torch.rms_norm: _rms_norm,
    torch.batch_norm: _batch_norm_of_torch,
    torch.group_norm: _group_norm,
    torch.instance_norm: _instance_norm_of_torch,
}
