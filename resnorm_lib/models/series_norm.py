"""Normalization of a series, around a whole model, not inside it."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.ops._checks import is_floating, shape_error

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
        With 0 a window that is constant, whose standard deviation is 0, gives NaN.
    device, dtype : optional
        Of the parameters ``weight`` and ``bias``, both of shape (1,); F keeps its own.

    Raises
    ------
    ValueError
        If eps is negative, or the windows are not of floating point or have no axis of time.

    Examples
    --------
    >>> last = ReversibleInstanceNorm(nn.Linear(4, 2))
    >>> x = torch.arange(4.0)[None]
    >>> torch.allclose(last(x + 100), last(x) + 100, atol=1e-4)  # a shifted window has a shifted forecast
    True
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.model, self.eps = model, number("eps", eps, at_least=0)
        self.weight = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Put the two learned numbers back to 1 and 0. The model has its own start."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if not is_floating(x) or not x.dim():
            raise shape_error(x, "its last axis must be time")
        z = upcast(x)  # statistics in float32
        mean = z.mean(-1, keepdim=True)
        deviation = (z.var(-1, correction=0, keepdim=True) + self.eps).sqrt()
        forecast = upcast(self.model(((z - mean) / deviation * self.weight + self.bias).to(x.dtype)))
        return ((forecast - self.bias) / self.weight * deviation + mean).to(x.dtype)
