"""Batch normalization of tokens: LayerNorm's opponent, whose statistics leave padding out."""

import torch
from torch import Tensor, nn

__all__ = ["TokenBatchNorm", "tell"]


class TokenBatchNorm(nn.Module):
    r"""Normalize each feature over all tokens of the batch (N, T, dim) that are real, and over no padding.

    .. math:: y_{ntc} = w_c \frac{x_{ntc} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + b_c

    In training :math:`\mu_c, \sigma_c^2` are those of the batch and move the running statistics; in evaluation the
    running statistics are used. Without padding it is :class:`resnorm_lib.norms.BatchNorm`, each token a sample.

    Parameters
    ----------
    dim : int
    momentum : float, default 0.1
        The weight of the new batch in the running statistics.
    eps : float, default 1e-5

    References
    ----------
    Ioffe and Szegedy (2015), arXiv:1502.03167; in Transformers for language: Shen et al. (2020), arXiv:2003.07845.
    """

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.real = None  # (N, T), what tell() says; None: all tokens are real
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self._of_batch(x) if self.training else (self.running_mean, self.running_var)
        return (x - mean) * (var + self.eps).rsqrt() * self.weight + self.bias

    def _of_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        real = torch.ones_like(x[..., 0]) if self.real is None else self.real.to(x.dtype)
        count = real.sum()
        share = (real / count).unsqueeze(-1)
        mean = (share * x).sum((0, 1))
        var = (share * (x - mean).square()).sum((0, 1))
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return mean, var


def tell(part: nn.Module, real: Tensor) -> None:
    """Tell each :class:`TokenBatchNorm` of a network which tokens (N, T) of the next batch are real."""
    for module in part.modules():
        if isinstance(module, TokenBatchNorm):
            module.real = real
