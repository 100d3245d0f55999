"""Adaptive layer normalization (adaLN-Zero): gain, bias and gate are computed from a condition."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib._arguments import number, positive_int
from resnorm_lib._precision import upcast
from resnorm_lib.norms._checks import check_last_axes, shape_error
from resnorm_lib.ops.norm.function import normalize_rows

__all__ = ["AdaptiveLayerNorm"]


class _ZeroLinear(nn.Linear):
    """A linear map that starts at 0, and returns to 0 when each part of a model is reset by itself."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class AdaptiveLayerNorm(nn.Module):
    r"""Layer normalization with gain and bias from a condition, and a gate for the branch (adaLN-Zero).

    .. math::

        (s, a, g) = W\,\mathrm{SiLU}(c) + v, \qquad y = (1 + a) \odot \mathrm{LN}(x) + s

    where LN is affine-free. A block adds :math:`g \odot F(y)` to the stream. W and v start at 0, so every block
    starts as the identity, whatever the condition.

    Call it with x of shape (N, ..., d) and ``condition`` of shape (N, c), or with more of the leading axes of x before
    c, such as (N, T, c). It returns ``(y, gate)``; the gate has a shape that multiplies a branch.

    Parameters
    ----------
    dim : int
        Number of features d.
    condition_features : int
        Number of entries c of the condition.
    eps : float, default 1e-6
        Added to the variance, inside the square root. The default is DiT's; LayerNorm has 1e-5.
    device, dtype : optional
        Of the parameters ``modulation.weight`` (3 d, c) and ``modulation.bias`` (3 d,): the rows of s, a and g.

    Raises
    ------
    ValueError
        If an argument, the last axis of x, or the shape of the condition does not fit.

    Notes
    -----
    Derivatives are right to the order that :class:`LayerNorm` says.

    References
    ----------
    Peebles and Xie (2023), arXiv:2212.09748.

    Examples
    --------
    >>> import torch
    >>> norm = AdaptiveLayerNorm(2, 5)
    >>> y, gate = norm(torch.tensor([[[1.0, 3.0]]]), torch.ones(1, 5))
    >>> y.detach().round(decimals=3), gate.detach()
    (tensor([[[-1.,  1.]]]), tensor([[[0., 0.]]]))
    """

    def __init__(
        self,
        dim: int,
        condition_features: int,
        *,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.dim = positive_int("dim", dim)
        self.condition_features = positive_int("condition_features", condition_features)
        self.eps = number("eps", eps, at_least=0)
        self.modulation = _ZeroLinear(condition_features, 3 * dim, device=device, dtype=dtype)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        check_last_axes(x, (self.dim,))
        leading = condition.shape[:-1] if isinstance(condition, Tensor) else None
        if leading is None or condition.shape != (*x.shape[:-1][: len(leading)], self.condition_features):
            wanted = f"it must be {self.condition_features} features behind leading axes of x, which has shape"
            raise shape_error(condition, f"{wanted} {tuple(x.shape)}", "condition")
        ones = (1,) * (x.dim() - condition.dim())
        modulation = self.modulation(F.silu(condition)).reshape(*leading, *ones, 3 * self.dim)
        shift, scale, gate = modulation.chunk(3, dim=-1)
        return ((1 + upcast(scale)) * self.normalize(x) + shift).to(x.dtype), gate.to(x.dtype)

    def normalize(self, x: Tensor) -> Tensor:
        r"""Return :math:`\mathrm{LN}(x)`; a subclass may put another norm in its place."""
        return normalize_rows(upcast(x), (self.dim,), None, None, self.eps, rms=False)

    def extra_repr(self) -> str:
        return f"{self.dim}, {self.condition_features}, eps={self.eps}"
