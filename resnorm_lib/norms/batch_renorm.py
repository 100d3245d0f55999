"""Batch renormalization: batch normalization whose training output agrees with its evaluation output."""

import torch
import torch.nn.functional as F

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.norms._shared import check_channels
from resnorm_lib.norms.batch_norm import ChannelNorm, check_spread, normalize
from resnorm_lib.norms.registry import named

__all__ = ["BatchRenorm"]


@named("batch_renorm")
class BatchRenorm(ChannelNorm):
    r"""Batch normalization corrected towards the running statistics, within limits.

    With :math:`\mu_c, \sigma_c = \sqrt{\mathrm{var}_c + \varepsilon}` those of the batch and :math:`\mu, \sigma` the
    running ones, per channel, in training

    .. math::

        y = w \left(\frac{x - \mu_c}{\sigma_c}\, r + d\right) + b, \qquad
        r = \mathrm{clip}\Big(\frac{\sigma_c}{\sigma}, \frac{1}{r_{\max}}, r_{\max}\Big), \qquad
        d = \mathrm{clip}\Big(\frac{\mu_c - \mu}{\sigma}, -d_{\max}, d_{\max}\Big)

    where no gradient passes through r and d. Inside the limits y is :math:`w (x - \mu) / \sigma + b`, which is what
    evaluation computes; with :math:`r_{\max} = 1, d_{\max} = 0` it is batch normalization. Then the running
    statistics move: :math:`\mu \leftarrow \mu + \text{momentum}\,(\mu_c - \mu)`, and :math:`\sigma` in the same way.

    ``r_max`` and ``d_max`` are attributes: set them during training. The paper starts from 1 and 0 and
    relaxes them to 3 and 5, once the running statistics mean something.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis; x has shape (N, C) or (N, C, ...).
    r_max : float, default 3.0
        At least 1.
    d_max : float, default 5.0
        At least 0.
    eps : float, default 1e-5
        Inside the root.
    momentum : float, default 0.01
        The share of the new batch.
    affine : bool, default True
        Learn ``weight`` and ``bias``, both of shape (C,).
    device, dtype : optional
        Of parameters and running statistics.

    Raises
    ------
    ValueError
        If an argument does not fit, if the input has not C channels, or if a training batch has fewer than two
        entries in a channel.

    References
    ----------
    Ioffe (2017), arXiv:1702.03275.

    Examples
    --------
    >>> norm = BatchRenorm(1)
    >>> norm(torch.tensor([[0.1], [0.9]])).detach().round(decimals=3).flatten()  # running: mean 0, deviation 1
    tensor([0.1000, 0.9000])
    """

    def __init__(
        self, num_features, r_max=3.0, d_max=5.0, eps=1e-5, momentum=0.01, affine=True, device=None, dtype=None
    ):
        momentum = number("momentum", momentum, at_least=0, at_most=1)
        super().__init__(num_features, eps, momentum, affine, True, device, dtype)
        self.r_max = number("r_max", r_max, at_least=1)
        self.d_max = number("d_max", d_max, at_least=0)

    def _register_statistics(self, device, dtype):
        # The paper averages the deviation, not the variance.
        self.register_buffer("running_mean", torch.empty(self.num_features, device=device, dtype=dtype))
        self.register_buffer("running_std", torch.empty(self.num_features, device=device, dtype=dtype))

    def reset_running_stats(self):
        """Put the running statistics back to mean 0 and deviation 1."""
        self.running_mean.zero_()
        self.running_std.fill_(1)

    def forward(self, x):
        check_channels(x, self.num_features)
        if not self.training:
            var = upcast(self.running_std).square()
            return normalize(F.batch_norm, x, upcast(self.running_mean), var, self.weight, self.bias, False, 0.0, 0.0)
        check_spread(x, self.num_features)
        r, d = self._correct(x)
        weight, bias = upcast(self.weight), upcast(self.bias)
        gain, offset = (r, d) if weight is None else (weight * r, weight * d + bias)
        return F.batch_norm(x, None, None, gain, offset, True, 0.0, self.eps)

    @torch.no_grad()
    def _correct(self, x):
        var, mean = torch.var_mean(upcast(x), (0, *range(2, x.dim())), correction=0)
        std = (var + self.eps).sqrt()
        running_mean, running_std = upcast(self.running_mean), upcast(self.running_std)
        r = (std / running_std).clamp(1 / self.r_max, self.r_max)
        d = ((mean - running_mean) / running_std).clamp(-self.d_max, self.d_max)
        self.running_mean.copy_(running_mean.lerp(mean, self.momentum))
        self.running_std.copy_(running_std.lerp(std, self.momentum))
        return r, d

    def extra_repr(self):
        return (
            f"{self.num_features}, r_max={self.r_max}, d_max={self.d_max}, eps={self.eps}, "
            f"momentum={self.momentum}, affine={self.affine}"
        )
