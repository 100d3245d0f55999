"""Scale normalization: every row is scaled to one learned length."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import number, positive_int
from resnorm_lib._precision import upcast
from resnorm_lib.norms._checks import check_last_axes
from resnorm_lib.norms.registry import named

__all__ = ["ScaleNorm"]


@named("scale")
class ScaleNorm(nn.Module):
    r"""Scale normalization: one learned length g for all rows.

    .. math:: y = g\,\frac{x}{\max(\lVert x \rVert, \varepsilon)}

    At the start :math:`g = \sqrt d`, and this is RMSNorm without eps, with one gain for all features.

    Parameters
    ----------
    dim : int
        Number of features d; x has shape (..., d).
    eps : float, default 1e-5
        The smallest length to divide by. Rows longer than eps are not changed by it.
    device, dtype : optional
        Of the parameter ``scale``, of shape (1,).

    Raises
    ------
    ValueError
        If an argument or the last axis of the input does not fit.

    References
    ----------
    Nguyen and Salazar (2019), arXiv:1910.05895.

    Examples
    --------
    >>> ScaleNorm(4)(torch.tensor([[1.0, 2.0, 2.0, 4.0]])).detach().round(decimals=3)
    tensor([[0.4000, 0.8000, 0.8000, 1.6000]])
    """

    def __init__(
        self, dim: int, *, eps: float = 1e-5, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.dim = positive_int("dim", dim)
        self.eps = number("eps", eps, at_least=0)
        self.scale = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Put the learned length back to the square root of ``dim``."""
        nn.init.constant_(self.scale, self.dim**0.5)

    def forward(self, x: Tensor) -> Tensor:
        check_last_axes(x, (self.dim,))
        z = upcast(x)
        length = torch.linalg.vector_norm(z, dim=-1, keepdim=True).clamp_min(self.eps)
        return (self.scale * (z / length)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps}"
