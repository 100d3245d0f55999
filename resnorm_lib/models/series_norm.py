"""Normalization of a series, around a whole model, not inside it."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import number

__all__ = ["ReversibleInstanceNorm"]


class ReversibleInstanceNorm(nn.Module):
    r"""Take level and scale out of what a forecaster reads, and put them back into what it forecasts.

    .. math:: y = \gamma^{-1}\big(F(\gamma\,\tfrac{x - \mu}{\sigma} + \beta) - \beta\big)\,\sigma + \mu

    :math:`\mu` and :math:`\sigma = \sqrt{\mathrm{var} + \varepsilon}` are those of the window x (N, T) over time, one
    pair for each series; :math:`\gamma` and :math:`\beta` are two learned numbers. A layer normalization inside F takes
    out the same and never puts it back: then F cannot know the level of what it is to forecast.

    Kim et al. (2022), "Reversible instance normalization for accurate time-series forecasting against distribution
    shift", ICLR.

    Parameters
    ----------
    model : nn.Module
        F, which maps windows (N, T) to forecasts (N, H) of the same series.
    eps : number, default 1e-5

    Raises
    ------
    ValueError
        If eps is negative.

    Examples
    --------
    >>> last = ReversibleInstanceNorm(nn.Linear(4, 2))
    >>> x = torch.arange(4.0)[None]
    >>> torch.allclose(last(x + 100), last(x) + 100, atol=1e-4)  # a shifted window has a shifted forecast
    True
    """

    def __init__(self, model: nn.Module, eps: float = 1e-5) -> None:
        super().__init__()
        self.model, self.eps = model, number("eps", eps, at_least=0)
        self.weight, self.bias = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        deviation = (x.var(-1, correction=0, keepdim=True) + self.eps).sqrt()
        forecast = self.model((x - mean) / deviation * self.weight + self.bias)
        return (forecast - self.bias) / self.weight * deviation + mean
