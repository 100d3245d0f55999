"""Ghost batch normalization: statistics of small parts of a large batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from resnorm_lib._arguments import positive_int
from resnorm_lib._precision import upcast
from resnorm_lib.norms._channels import check_channels, check_spread, normalize
from resnorm_lib.norms.batch_norm import BatchNorm
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.autograd import channels_last_gradient

__all__ = ["GhostBatchNorm"]


@named("ghost_batch")
class GhostBatchNorm(BatchNorm):
    r"""Batch normalization of parts of the batch, each by its own mean and variance.

    In training the N rows are cut, in order, into :math:`\max(1, \lfloor N / \text{ghost\_batch\_size} \rfloor)`
    parts that differ by at most one row, and each part is normalized as by :class:`BatchNorm`. No part is smaller
    than ``ghost_batch_size`` unless the whole batch is. The running statistics are updated with one part after another,
    so ``momentum`` counts parts, not batches. In evaluation it is :class:`BatchNorm`, whose state dict it shares.

    So the batch that gives the statistics can be smaller than the batch of an optimizer's step. torch's
    ``convert_sync_batchnorm`` turns this layer into plain synchronized batch normalization.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis; x has shape (N, C) or (N, C, ...).
    ghost_batch_size : int, default 32
        Fewest rows in a part.
    eps, momentum, affine, track_running_stats, device, dtype, bias
        As for :class:`BatchNorm`.

    Raises
    ------
    ValueError
        As for :class:`BatchNorm`.

    Notes
    -----
    Derivatives are right to the order that :class:`BatchNorm` says.

    References
    ----------
    Hoffer, Hubara and Soudry (2017), arXiv:1705.08741.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [3.0], [10.0], [30.0]])
    >>> GhostBatchNorm(1, ghost_batch_size=2)(x).detach().round(decimals=3).flatten()
    tensor([-1.,  1., -1.,  1.])
    """

    def __init__(
        self,
        num_features: int,
        ghost_batch_size: int = 32,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.ghost_batch_size = positive_int("ghost_batch_size", ghost_batch_size)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_features)
        if not self.training or x.shape[0] < 2 * self.ghost_batch_size:
            return super().forward(x)
        parts = x.shape[0] // self.ghost_batch_size  # len(x) would be a constant of a compiled graph
        rows, longer = x.shape[0] // parts, x.shape[0] % parts  # that many parts, the first ones, have a row more
        if not longer:
            return self._normalize(x, parts)
        first, rest = x.split([longer * (rows + 1), (parts - longer) * rows])
        return torch.cat([self._normalize(first, longer), self._normalize(rest, parts - longer)])

    def _normalize(self, x: Tensor, parts: int) -> Tensor:
        """Normalize parts of equal length in one call, in which the channels of each part are channels of their own."""
        rows = x.shape[0] // parts
        check_spread(x[:rows], self.num_features)
        apart = channels_last_gradient(x).unflatten(0, (parts, rows)).transpose(0, 1).flatten(1, 2)
        weight, bias = (None if value is None else upcast(value).repeat(parts) for value in (self.weight, self.bias))
        # Passed even when untracked: with float32 buffers torch keeps the statistics of 16-bit inputs in float32.
        mean, var = upcast(x).new_zeros((2, parts * self.num_features))
        y = normalize(F.batch_norm, apart, mean, var, weight, bias, True, 1.0, self.eps)
        if self.track_running_stats and self.running_mean is not None:
            self._remember(mean.view(parts, -1), var.view(parts, -1))
        y = y.unflatten(1, (parts, -1)).transpose(0, 1).flatten(0, 1)
        images = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last if images else torch.contiguous_format)

    @torch.no_grad()
    def _remember(self, means: Tensor, variances: Tensor) -> None:
        """Update the running statistics with one part after another: a later part has the larger weight."""
        parts = len(means)
        self.num_batches_tracked.add_(parts)
        if self.momentum is None:
            shares = (1 / self.num_batches_tracked.to(means.dtype)).expand(parts)
        else:
            later = torch.arange(parts - 1, -1, -1, device=means.device, dtype=means.dtype)
            shares = self.momentum * (1 - self.momentum) ** later
        for running, news in ((self.running_mean, means), (self.running_var, variances)):
            # A sum instead of a matrix product, which autocast would compute in 16 bits.
            running.copy_(upcast(running) * (1 - shares.sum()) + (shares[:, None] * news).sum(0))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ghost_batch_size={self.ghost_batch_size}"
