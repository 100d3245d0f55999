"""Batch normalization, and what the norms with running statistics share."""

import torch
import torch.nn.functional as F

from resnorm_lib._arguments import flag, number, positive_int
from resnorm_lib._precision import HALF, upcast
from resnorm_lib.norms._shared import Affine, check_channels
from resnorm_lib.norms.registry import named

__all__ = ["BatchNorm"]


class ChannelNorm(Affine):
    """Gain, offset and running statistics, one of each for every channel (the second axis)."""

    def __init__(self, num_features, eps, momentum, affine, track_running_stats, device, dtype):
        num_features = positive_int("num_features", num_features)
        affine = flag("affine", affine)
        super().__init__(num_features, affine, affine, device, dtype)
        self.num_features = num_features
        self.eps = number("eps", eps, at_least=0)
        self.momentum = None if momentum is None else number("momentum", momentum, at_least=0, at_most=1)
        self.affine = affine
        self.track_running_stats = flag("track_running_stats", track_running_stats)
        self._register_statistics(device, dtype)
        self.reset_parameters()

    def _register_statistics(self, device, dtype):
        for name in ("running_mean", "running_var"):
            values = torch.empty(self.num_features, device=device, dtype=dtype) if self.track_running_stats else None
            self.register_buffer(name, values)
        count = torch.tensor(0, dtype=torch.long, device=device) if self.track_running_stats else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self):
        """Put the running statistics back to mean 0 and variance 1, of no batch."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        """Put gain, offset and running statistics back to where they start."""
        super().reset_parameters()
        self.reset_running_stats()

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


@named("batch")
class BatchNorm(ChannelNorm):
    r"""Batch normalization of (N, C) or (N, C, ...): mean and variance of each channel over everything else.

    .. math:: y_{\cdot c} = w_c \frac{x_{\cdot c} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + b_c

    In training :math:`\mu_c, \sigma_c^2` are those of the batch, and the running statistics move towards them,

    .. math:: \text{running} \leftarrow (1 - \text{momentum})\,\text{running} + \text{momentum} \cdot \text{batch},

    where the running variance takes the unbiased estimate (m - 1 in the denominator). In evaluation the running
    statistics are used, and rows no longer depend on each other. Takes and gives the state dict of
    :class:`torch.nn.BatchNorm1d`, ``2d`` and ``3d``, and stands for all three.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis.
    eps : float, default 1e-5
        Inside the root. Keras has 1e-3.
    momentum : float or None, default 0.1
        The share of the new batch. Keras writes the share of the old value, and its default is 0.99. ``None``: the
        plain average over all batches so far.
    affine : bool, default True
        Learn ``weight`` and ``bias``, both of shape (C,).
    track_running_stats : bool, default True
        False: keep no running statistics and use those of the batch in evaluation too.
    device, dtype : optional
        Of parameters and running statistics. ``module.bfloat16()`` rounds the running statistics as well; autocast
        leaves them in float32.

    Raises
    ------
    ValueError
        If an argument does not fit, if the input has not C channels, or if a batch whose statistics are needed has
        fewer than two entries in a channel: one value has no spread, none has no mean.

    Notes
    -----
    The fused kernel of torch, which this calls, has right first and second derivatives; its third ones are wrong
    (torch 2.13). Write the formula in elementary operations where you need them.

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
        self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, x):
        check_channels(x, self.num_features)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            return normalize(F.batch_norm, x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        check_spread(x, self.num_features)
        if mean is None:
            return normalize(F.batch_norm, x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        self.num_batches_tracked.add_(1)
        if self.momentum is None:
            return self._average(x)
        return normalize(F.batch_norm, x, mean, var, self.weight, self.bias, True, self.momentum, self.eps)

    def _average(self, x):
        # The share 1/n stays a tensor: as a float it would stop a GPU, and break a compiled graph.
        share = 1 / self.num_batches_tracked.to(self.running_mean.dtype)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = normalize(F.batch_norm, x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)
        return y


def check_spread(x, num_features):
    """Raise unless a channel of the batch has at least two entries."""
    if x.numel() < 2 * num_features:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: in training each channel needs at least two entries, "
            "because one entry has no spread. Use a larger batch, or eval()."
        )


def normalize(kernel, x, mean, var, weight, bias, use_batch, momentum, eps):
    """Call ``kernel`` (F.batch_norm or F.instance_norm), in 16 bits with float32 beside the input.

    Where every tensor has 16 bits, or there is none but x, torch rounds mean and deviation of the batch to 16 bits.
    """
    companion = mean if weight is None else weight
    if x.dtype not in HALF or (companion is not None and companion.dtype == torch.float32):
        return kernel(x, mean, var, weight, bias, use_batch, momentum, eps)
    gain = torch.ones(x.shape[1], device=x.device) if weight is None else upcast(weight)
    mean32, var32 = upcast(mean), upcast(var)
    y = kernel(x, mean32, var32, gain, upcast(bias), use_batch, momentum, eps)
    if use_batch and mean is not None:
        mean.copy_(mean32)
        var.copy_(var32)
    return y
