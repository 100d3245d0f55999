"""What the norms of channels share: their arguments, checks of the input, and torch's fused kernels in 16 bits."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from resnorm_lib._arguments import flag, number, positive_int
from resnorm_lib._precision import HALF, upcast
from resnorm_lib.norms._checks import shape_error
from resnorm_lib.ops.autograd import in_forward_mode


def channel_arguments(
    num_features: int,
    eps: float,
    momentum: float | None,
    affine: bool,
    track_running_stats: bool,
    of_batches: bool = True,
) -> tuple:
    """Return the first arguments of torch's channel norms after checking each. Those of batches need a positive eps."""
    if number("eps", eps, at_least=0) == 0 and of_batches:
        raise ValueError(f"eps is {eps}, but it must be positive: torch takes no statistics of a batch without it.")
    return (
        positive_int("num_features", num_features),
        float(eps),
        None if momentum is None else number("momentum", momentum, at_least=0, at_most=1),
        flag("affine", affine),
        flag("track_running_stats", track_running_stats),
    )


class OptionalBias(nn.Module):
    """The option ``bias=False`` for norms of channels: neither constructors nor resets of older torch know it."""

    def leave_out_bias(self, bias: bool) -> None:
        """Take the bias away again if ``bias`` is False."""
        if not flag("bias", bias):
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """Put the gain back to 1, the bias to 0, and running statistics to those of no batch."""
        if self.weight is None or self.bias is not None:
            return super().reset_parameters()
        if isinstance(self, _NormBase):
            self.reset_running_stats()
        nn.init.ones_(self.weight)


def check_channels(x: object, channels: int, position: str = "") -> None:
    """Raise unless ``x`` is a floating point tensor (N, channels, ...), with ``position`` an axis that must follow."""
    least = 3 if position else 2
    if not isinstance(x, torch.Tensor) or x.dim() < least or x.shape[1] != channels or not x.is_floating_point():
        raise shape_error(x, f"it must be (N, {channels}, {position}...)")


def check_spread(x: Tensor, num_features: int) -> None:
    """Raise unless each channel of the batch has at least two entries."""
    if x.numel() < 2 * num_features:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: in training each channel needs at least two entries, "
            "because one entry has no spread. Use a larger batch, or eval()."
        )


def count_batch(norm: _BatchNorm) -> float | Tensor:
    """Count a batch, and return its weight in the running statistics: the momentum, or 1/n if that is None."""
    norm.num_batches_tracked.add_(1)
    # 1/n stays a tensor: turning it into a float would make the CPU wait for the GPU, and break a compiled graph.
    return 1 / norm.num_batches_tracked.to(upcast(norm.running_mean).dtype) if norm.momentum is None else norm.momentum


def normalize(
    kernel: Callable[..., Tensor],
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    use_batch: bool,
    momentum: float | None,
    eps: float,
) -> Tensor:
    """Return what ``kernel`` (F.batch_norm or F.instance_norm) computes, with right derivatives in forward mode too."""
    if not use_batch or not in_forward_mode():
        return _fused(kernel, x, mean, var, weight, bias, use_batch, momentum, eps)
    if mean is not None:  # moves the running statistics
        _fused(kernel, x.detach(), mean, var, None, None, True, momentum, eps)
    return _by_formula(x, (0, *range(2, x.dim())) if kernel is F.batch_norm else range(2, x.dim()), weight, bias, eps)


def _fused(
    kernel: Callable[..., Tensor],
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    use_batch: bool,
    momentum: float | None,
    eps: float,
) -> Tensor:
    """Call ``kernel`` with statistics in float32 for 16-bit inputs.

    If all tensors have 16 bits, or x is the only tensor, torch rounds the mean and the standard deviation of the batch
    to 16 bits. A gain in float32 prevents it.
    """
    companion = mean if weight is None else weight
    if x.dtype not in HALF or (companion is not None and companion.dtype == torch.float32):
        return kernel(x, mean, var, weight, bias, use_batch, momentum, eps)
    gain = torch.ones(x.shape[1], device=x.device, dtype=torch.float32) if weight is None else upcast(weight)
    mean32, var32 = upcast(mean), upcast(var)
    y = kernel(x, mean32, var32, gain, upcast(bias), use_batch, momentum, eps)
    if use_batch and mean32 is not mean:  # a copy onto itself would make the backward pass refuse what it has kept
        mean.copy_(mean32)
        var.copy_(var32)
    return y


def _by_formula(x: Tensor, axes: Iterable[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Normalize over the axes in elementary operations."""
    axes, wide = tuple(axes), upcast(x)
    centred = wide - wide.mean(axes, keepdim=True)
    y = centred / (centred.square().mean(axes, keepdim=True) + eps).sqrt()
    for_channels = (-1, *(1,) * (x.dim() - 2))
    if weight is not None:
        y = y * weight.view(for_channels)
    return (y if bias is None else y + bias.view(for_channels)).to(x.dtype)
