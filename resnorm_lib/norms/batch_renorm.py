"""Batch renormalization: batch normalization that computes in training what it computes in evaluation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.norms._channels import (
    OptionalBias,
    channel_arguments,
    check_channels,
    check_spread,
    count_batch,
    normalize,
)
from resnorm_lib.norms.registry import named

__all__ = ["BatchRenorm"]


@named("batch_renorm")
class BatchRenorm(OptionalBias, _BatchNorm):
    r"""Batch normalization corrected towards the running statistics, within limits.

    Let :math:`\mu_c` and :math:`\sigma_c = \sqrt{\mathrm{var}_c + \varepsilon}` be the batch statistics of a channel,
    and :math:`\mu, \sigma` its running statistics. In training

    .. math::

        y = w \left(\frac{x - \mu_c}{\sigma_c}\, r + d\right) + b, \qquad
        r = \mathrm{clip}\Big(\frac{\sigma_c}{\sigma}, \frac{1}{r_{\max}}, r_{\max}\Big), \qquad
        d = \mathrm{clip}\Big(\frac{\mu_c - \mu}{\sigma}, -d_{\max}, d_{\max}\Big)

    where no gradient passes through r and d. Within the limits y is :math:`w (x - \mu) / \sigma + b`, which is what
    evaluation computes. With :math:`r_{\max} = 1, d_{\max} = 0` it is batch normalization. Afterwards the running
    statistics move: :math:`\mu \leftarrow \mu + \text{momentum}\,(\mu_c - \mu)`, and :math:`\sigma` in the same way.
    torch's ``convert_sync_batchnorm`` refuses this layer, which has no running variance.

    ``r_max`` and ``d_max`` are attributes: set them during training. The paper starts from 1 and 0 and
    relaxes them to 3 and 5 as the running statistics become reliable.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis; x has shape (N, C) or (N, C, ...).
    r_max : float, default 3.0
        At least 1.
    d_max : float, default 5.0
        At least 0.
    eps : float, default 1e-5
        Added to the variance, inside the square root.
    momentum : float or None, default 0.01
        The weight of the new batch in the running statistics. ``None``: the plain average over all batches so far.
    affine : bool, default True
        Learn ``weight`` and ``bias``, both of shape (C,).
    bias : bool, default True
        Learn the bias as well as the gain.
    device, dtype : optional
        Of parameters and running statistics.

    Raises
    ------
    ValueError
        If an argument does not fit, if the input does not have C channels, if a training batch has fewer than two
        entries in a channel, or if checkpointing runs it again in the backward pass.

    Notes
    -----
    The fused kernel of torch, which this calls, has right first and second derivatives; its third ones are wrong
    (torch 2.13) or refused (2.14).

    References
    ----------
    Ioffe (2017), arXiv:1702.03275.

    Examples
    --------
    >>> norm = BatchRenorm(1)
    >>> norm(torch.tensor([[0.1], [0.9]])).detach().round(decimals=3).flatten()  # running mean 0, std 1
    tensor([0.1000, 0.9000])
    """

    def __init__(
        self,
        num_features: int,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        bias: bool = True,
    ) -> None:
        checked = channel_arguments(num_features, eps, momentum, affine, False)
        super().__init__(*checked, device, dtype)
        self.leave_out_bias(bias)
        self.r_max = number("r_max", r_max, at_least=1)
        self.d_max = number("d_max", d_max, at_least=0)
        # The paper averages the standard deviation, so torch's buffers do not fit.
        del self.running_var
        self.track_running_stats = True
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("running_std", torch.ones(num_features, device=device, dtype=dtype))
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device))

    def __getattr__(self, name: str) -> Any:
        """Say why there is no ``running_var``: a property cannot, because modules put their own words in its place."""
        if name == "running_var":
            raise AttributeError(
                "BatchRenorm has no running_var: it averages the standard deviation, in running_std. So it cannot be "
                "made another layer of torch's, such as SyncBatchNorm, with the same numbers."
            )
        return super().__getattr__(name)

    def reset_running_stats(self) -> None:
        """Put the running statistics back to mean 0 and standard deviation 1, of no batch."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_std.fill_(1)
            self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.num_features)
        if self.running_mean is None:
            raise ValueError("running_mean is None, but batch renormalization is a correction towards it.")
        if not self.training:
            var = upcast(self.running_std).square()
            return normalize(F.batch_norm, x, upcast(self.running_mean), var, self.weight, self.bias, False, 0.0, 0.0)
        check_spread(x, self.num_features)
        self._check_first_run()
        r, d = self._correction(x)
        weight, bias = upcast(self.weight), upcast(self.bias)
        gain, shift = (r, d) if weight is None else (weight * r, weight * d)
        shift = shift if bias is None else shift + bias
        return normalize(F.batch_norm, x, None, None, gain, shift, True, 0.0, self.eps)

    def _check_first_run(self) -> None:
        """Raise within a backward pass: the statistics, on which r and d depend, have moved since the first run."""
        if self.track_running_stats and not torch.compiler.is_compiling() and torch._C._current_graph_task_id() >= 0:
            raise ValueError(
                "BatchRenorm cannot run a second time in the backward pass, as checkpointing lets it: its running "
                "statistics, on which the output depends, have moved. Leave it out of the checkpoint."
            )

    @torch.no_grad()
    def _correction(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Detached as well, because forward-mode derivatives pass through no_grad.
        var, mean = torch.var_mean(upcast(x.detach()), (0, *range(2, x.dim())), correction=0)
        std = (var + self.eps).sqrt()
        running_mean, running_std = _before_update(upcast(self.running_mean)), _before_update(upcast(self.running_std))
        r = (std / running_std).clamp(1 / self.r_max, self.r_max)
        d = ((mean - running_mean) / running_std).clamp(-self.d_max, self.d_max)
        if self.track_running_stats:
            share = count_batch(self)
            self.running_mean.copy_(running_mean.lerp(mean, share))
            self.running_std.copy_(running_std.lerp(std, share))
        return r, d

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}"


def _before_update(running: Tensor) -> Tensor:
    """Return a running statistic so that a compiled backward pass, too, finds its value from before the update.

    torch (2.13) may keep the buffer instead of r and d, and compute them again when it has moved (pull request 197039).
    It never does so behind a cumulative sum: here that of one term, in compiled graphs alone.
    """
    return running[None].cumsum(0)[0] if torch.compiler.is_compiling() else running
