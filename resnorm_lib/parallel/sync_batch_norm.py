"""Synchronized batch normalization written out, for any device: torch's own refuses tensors of a CPU."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from resnorm_lib._precision import upcast
from resnorm_lib.norms import BatchNorm
from resnorm_lib.norms._channels import check_channels, count_batch

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(BatchNorm):
    r"""Batch normalization over the batches of all processes: two messages a layer and step.

    Forward, each process gathers from every other one the mean, variance and count of its rows,
    :math:`\mu_r, \sigma_r^2, n_r`, and merges them (Chan, Golub and LeVeque, 1983):

    .. math::

        \mu = \sum_r \tfrac{n_r}{n} \mu_r, \qquad
        \sigma^2 = \sum_r \tfrac{n_r}{n} \bigl(\sigma_r^2 + (\mu_r - \mu)^2\bigr).

    Backward, the two sums over all rows in

    .. math:: dx = \tfrac{w}{\sigma} \bigl(dy - \overline{dy} - \hat x\, \overline{dy\,\hat x}\bigr)

    are sums over processes. In evaluation, or without a process group, it is :class:`resnorm_lib.norms.BatchNorm`,
    whose arguments and state dict it shares. On GPUs :class:`torch.nn.SyncBatchNorm` does the same with fused kernels.

    Raises
    ------
    ValueError
        As for :class:`resnorm_lib.norms.BatchNorm`, but one row a process is enough.

    Examples
    --------
    >>> SyncBatchNorm(2)(torch.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().round(decimals=3)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_features)
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        x_hat, mean, var, count = _Standardize.apply(upcast(x).transpose(1, -1), self.eps)
        if self.track_running_stats and self.running_mean is not None:
            self._move(mean, var * count / (count - 1))
        y = x_hat if self.weight is None else self.weight * x_hat
        return (y if self.bias is None else y + self.bias).transpose(1, -1).to(x.dtype)

    @torch.no_grad()
    def _move(self, mean: Tensor, unbiased: Tensor) -> None:
        share = count_batch(self)
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.lerp_(batch.to(running.dtype), share)


class _Standardize(torch.autograd.Function):
    """x of shape (N, ..., C) -> x-hat, and mean, variance and count of each channel over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = x.flatten(0, -2)
        count = rows.new_full((1,), len(rows))
        mine = torch.cat([rows.mean(0), rows.var(0, correction=0), count])
        all_of_them = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(all_of_them, mine)
        means, variances, counts = torch.stack(all_of_them).split([x.shape[-1], x.shape[-1], 1], dim=1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        deviation = (var + eps).sqrt()
        x_hat = (x - mean) / deviation
        ctx.save_for_backward(x_hat, deviation, count)
        ctx.mark_non_differentiable(mean, var, count)
        return x_hat, mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx_hat: Tensor, *_) -> tuple[Tensor, None]:
        x_hat, deviation, count = ctx.saved_tensors
        sums = torch.stack([dx_hat, dx_hat * x_hat]).flatten(1, -2).sum(1)
        dist.all_reduce(sums)
        of_dx_hat, of_both = sums / count
        return (dx_hat - of_dx_hat - x_hat * of_both) / deviation, None
