"""Batch normalization."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from resnorm_lib.norms._channels import (
    OptionalBias,
    channel_arguments,
    check_channels,
    check_spread,
    count_batch,
    normalize,
)
from resnorm_lib.norms.registry import named

__all__ = ["BatchNorm"]


@named("batch")
class BatchNorm(OptionalBias, _BatchNorm):
    r"""Batch normalization of (N, C) or (N, C, ...): mean and variance of each channel over everything else.

    .. math:: y_{\cdot c} = w_c \frac{x_{\cdot c} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + b_c

    In training :math:`\mu_c, \sigma_c^2` are the statistics of the batch, and the running statistics move towards them,

    .. math:: \text{running} \leftarrow (1 - \text{momentum})\,\text{running} + \text{momentum} \cdot \text{batch},

    where the running variance takes the unbiased estimate (m - 1 in the denominator). In evaluation the running
    statistics are used, and rows no longer depend on each other. One class for any number of axes: it shares the base
    class and the state dict of :class:`torch.nn.BatchNorm1d`, ``2d`` and ``3d``. So ``isinstance(module,
    nn.BatchNorm2d)`` is False; ``isinstance(module, nn.modules.batchnorm._BatchNorm)`` finds these and torch's.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis.
    eps : float, default 1e-5
        Added to the variance, inside the square root. Keras has 1e-3.
    momentum : float or None, default 0.1
        The weight of the new batch in the running statistics. Keras gives the weight of the old value, by default 0.99.
        ``None``: the plain average over all batches so far.
    affine : bool, default True
        Learn ``weight`` and ``bias``, both of shape (C,).
    bias : bool, default True
        Learn the bias as well as the gain.
    track_running_stats : bool, default True
        False: keep no running statistics, and use the statistics of the batch in evaluation too.
    device, dtype : optional
        Of parameters and running statistics. ``module.bfloat16()`` rounds the running statistics as well; autocast
        leaves them in float32.

    Raises
    ------
    ValueError
        If an argument does not fit, if the input does not have C channels, or if a channel has fewer than two entries
        in a batch whose statistics are needed: one value has no variance, and no value has no mean.

    Notes
    -----
    The fused kernel of torch, which this calls, has right first and second derivatives; its third ones are wrong
    (torch 2.13) or refused (2.14). Forward-mode differentiation goes through the formula, right to any order.

    References
    ----------
    Ioffe and Szegedy (2015), arXiv:1502.03167.

    Examples
    --------
    >>> BatchNorm(2)(torch.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().round(decimals=3)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        checked = channel_arguments(num_features, eps, momentum, affine, track_running_stats)
        super().__init__(*checked, device, dtype)
        self.leave_out_bias(bias)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_features)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            return normalize(F.batch_norm, x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        check_spread(x, self.num_features)
        if mean is None or not self.track_running_stats:
            return normalize(F.batch_norm, x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        share = count_batch(self)
        if self.momentum is None:
            return self._average(x, share)
        return normalize(F.batch_norm, x, mean, var, self.weight, self.bias, True, share, self.eps)

    def _average(self, x: Tensor, share: Tensor) -> Tensor:
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = normalize(F.batch_norm, x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        self.running_mean.lerp_(mean, share.to(mean.dtype))
        self.running_var.lerp_(var, share.to(var.dtype))
        return y
