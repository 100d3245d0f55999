"""AdaNorm: layer normalization with a factor that depends on the row instead of a learned gain and bias."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.norms._checks import as_shape, check_last_axes
from resnorm_lib.norms.registry import named

__all__ = ["AdaNorm"]


@named("ada")
class AdaNorm(nn.Module):
    r"""Adaptive normalization: layer normalization times :math:`C (1 - k \hat x)`.

    .. math:: y = C\,(1 - k\,\hat x) \odot \hat x, \qquad \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}

    No gradient passes through the factor: it counts as a constant. The layer has no parameters.

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes; x has shape (..., \*normalized_shape).
    scale : float, default 1.0
        C.
    k : float, default 0.1
        How much large entries are damped; 0 leaves layer normalization times C.
    eps : float, default 1e-5
        Added to the variance, inside the square root, as in the paper. (The authors' program divides by the unbiased
        standard deviation plus eps.)
    device, dtype : optional
        Accepted as by every norm, without effect: there are no parameters.

    Raises
    ------
    ValueError
        If an argument or the last axes of the input do not fit.

    References
    ----------
    Xu, Sun, Zhang, Zhao and Lin (2019), arXiv:1911.07013.

    Examples
    --------
    >>> import torch
    >>> AdaNorm(2)(torch.tensor([[1.0, 3.0]])).round(decimals=3)
    tensor([[-1.1000,  0.9000]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        scale: float = 1.0,
        k: float = 0.1,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = as_shape("normalized_shape", normalized_shape)
        self.scale = number("scale", scale, at_least=0)
        self.k = number("k", k, at_least=0)
        self.eps = number("eps", eps, at_least=0)

    def forward(self, x: Tensor) -> Tensor:
        check_last_axes(x, self.normalized_shape)
        x_hat = F.layer_norm(upcast(x), self.normalized_shape, None, None, self.eps)
        return (self.scale * (1 - self.k * x_hat.detach()) * x_hat).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, scale={self.scale}, k={self.k}, eps={self.eps}"
