"""Group normalization and instance normalization: statistics of one sample, over a group of channels or one channel."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from resnorm_lib._arguments import flag, number, positive_int
from resnorm_lib.norms._channels import OptionalBias, channel_arguments, check_channels, normalize
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.group_norm.function import normalize_groups

__all__ = ["GroupNorm", "InstanceNorm"]


class GroupNorm(OptionalBias, nn.GroupNorm):
    r"""Group normalization of (N, C) or (N, C, ...): mean and variance of each sample over a group of its channels.

    .. math:: y_{nc\cdot} = w_c \frac{x_{nc\cdot} - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \varepsilon}} + b_c

    with :math:`\mu_{ng}, \sigma_{ng}^2` the mean and the (biased) variance over the C/G channels of the group
    :math:`g \ni c` and all positions. One group normalizes over everything but N; C groups are instance
    normalization. It is a :class:`torch.nn.GroupNorm`, with the same
    state dict.

    On a CPU, a channels-last input is normalized in the default layout, because torch's channels-last kernel there
    computes the variance as :math:`\overline{x^2} - \overline{x}^2`, which cancels.

    Parameters
    ----------
    num_groups : int
        G, a divisor of C.
    num_channels : int
        C, the second axis.
    eps : float, default 1e-5
        Added to the variance, inside the square root. Keras has 1e-3, and 32 groups by default.
    affine : bool, default True
        Learn ``weight`` and ``bias``, both of shape (C,): one for each channel, not for each group.
    bias : bool, default True
        Learn the bias as well as the gain.
    device, dtype : optional
        Of the parameters.

    Raises
    ------
    ValueError
        If an argument does not fit, if G does not divide C, or if the input does not have C channels.

    References
    ----------
    Wu and He (2018), arXiv:1803.08494.

    Examples
    --------
    >>> import torch
    >>> GroupNorm(2, 4)(torch.tensor([[1.0, 3.0, 10.0, 30.0]])).detach().round(decimals=3)
    tensor([[-1.,  1., -1.,  1.]])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        num_groups, num_channels = positive_int("num_groups", num_groups), positive_int("num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(f"num_groups is {num_groups}, but it must divide num_channels, which is {num_channels}.")
        eps, affine = number("eps", eps, at_least=0), flag("affine", affine)
        super().__init__(num_groups, num_channels, eps, affine, device, dtype)
        self.leave_out_bias(bias)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_channels)
        return normalize_groups(x, self.num_groups, self.weight, self.bias, self.eps)


@named("group")
def group_norm_of(
    dim: int,
    num_groups: int | None = None,
    eps: float = 1e-5,
    affine: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    *,
    bias: bool = True,
) -> GroupNorm:
    """Group normalization with ``num_groups`` groups: by default the greatest common divisor of 32 and ``dim``."""
    dim = positive_int("dim", dim)
    return GroupNorm(
        math.gcd(32, dim) if num_groups is None else num_groups, dim, eps, affine, device, dtype, bias=bias
    )


@named("instance")
class InstanceNorm(OptionalBias, _InstanceNorm):
    r"""Instance normalization of (N, C, L, ...): mean and variance of each channel of each sample over its positions.

    .. math:: y_{nc\cdot} = w_c \frac{x_{nc\cdot} - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \varepsilon}} + b_c

    One class for any number of positional axes: it shares the base class and the state dict of
    :class:`torch.nn.InstanceNorm1d`, ``2d`` and ``3d``, and always expects the axis N.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis.
    eps : float, default 1e-5
        Added to the variance, inside the square root.
    momentum : float, default 0.1
        The weight of the new batch in the running statistics, if they are tracked.
    affine : bool, default False
        Learn ``weight`` and ``bias``, both of shape (C,).
    bias : bool, default True
        Learn the bias as well as the gain, if ``affine``.
    track_running_stats : bool, default False
        Keep running averages of the samples' statistics in training, and use them in evaluation.
    device, dtype : optional
        Of parameters and running statistics.

    Raises
    ------
    ValueError
        If an argument does not fit, if the input does not have C channels, or if a channel has a single position and
        its statistics are needed.

    Notes
    -----
    The fused kernel of torch, which this calls, has right first and second derivatives; its third ones are wrong
    (torch 2.13) or refused (2.14). Forward-mode differentiation goes through the formula, right to any order.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky (2016), arXiv:1607.08022.

    Examples
    --------
    >>> import torch
    >>> InstanceNorm(2)(torch.tensor([[[1.0, 3.0], [10.0, 30.0]]])).round(decimals=3)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        number("momentum", momentum)
        checked = channel_arguments(num_features, eps, momentum, affine, track_running_stats, of_batches=False)
        super().__init__(*checked, device, dtype)
        self.leave_out_bias(bias)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_features, position="L, ")
        mean, var = self.running_mean, self.running_var
        if not self.training and self.track_running_stats and mean is not None:
            return normalize(F.batch_norm, x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        if math.prod(x.shape[2:]) < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: each channel needs at least two positions, because one has no spread."
            )
        if mean is not None and not x.shape[0]:
            raise ValueError(f"x has shape {tuple(x.shape)}: running statistics need at least one sample.")
        return normalize(F.instance_norm, x, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
