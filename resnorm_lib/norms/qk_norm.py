"""Query-key normalization, which bounds the logits of attention."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib._arguments import choice, number, positive_int
from resnorm_lib._precision import upcast
from resnorm_lib.norms._checks import check_last_axes
from resnorm_lib.norms.registry import make_norm

__all__ = ["CosineQKNorm", "QKNorm"]


class QKNorm(nn.Module):
    r"""Normalize the queries and the keys of each head, with one gain for queries and one for keys.

    .. math::

        \hat q = N_q(q), \quad \hat k = N_k(k), \qquad
        \Big|\frac{\hat q \cdot \hat k}{\sqrt d}\Big| \le \sqrt d\; \max_i |w^q_i|\, \max_i |w^k_i|

    for norms without a bias: the logits of attention stay bounded, however long the queries and keys grow. Attention
    keeps its usual factor :math:`1 / \sqrt d`.

    Parameters
    ----------
    head_dim : int
        Number of features d of one head. q and k have shape (..., d); their other axes may differ.
    norm : {"rms", "layer"}, class or callable, default "rms"
        Dehghani et al. use "layer" without a bias (``bias=False``). Any callable that :func:`make_norm` takes will do.
    **options
        Passed on to both norms, such as ``eps=1e-6`` or ``bias=False``.

    Raises
    ------
    ValueError
        If an argument or the last axis of q or k does not fit.

    Notes
    -----
    With "layer", derivatives are right to the order that :class:`LayerNorm` says.

    References
    ----------
    Dehghani et al. (2023), arXiv:2302.05442; with unit vectors Henry et al. (2020), see :class:`CosineQKNorm`.

    Examples
    --------
    >>> q, k = QKNorm(2)(torch.tensor([[300.0, 400.0]]), torch.tensor([[0.0, -7.0]]))
    >>> (q @ k.T / 2**0.5).detach().round(decimals=3)
    tensor([[-1.1310]])
    """

    def __init__(self, head_dim: int, norm: str | Callable[..., nn.Module] = "rms", **options) -> None:
        super().__init__()
        self.head_dim = positive_int("head_dim", head_dim)
        norm = norm if callable(norm) else choice("norm", norm, ("layer", "rms"))
        self.q_norm = make_norm(norm, head_dim, **options)
        self.k_norm = make_norm(norm, head_dim, **options)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        check_last_axes(q, (self.head_dim,), "q")
        check_last_axes(k, (self.head_dim,), "k")
        return self.q_norm(q), self.k_norm(k)


class CosineQKNorm(nn.Module):
    r"""Scale queries and keys to unit length, and multiply their cosine by a learned number.

    .. math:: \text{logit} = g \, \frac{q \cdot k}{\lVert q \rVert\,\lVert k \rVert}

    The number g takes the place of :math:`1 / \sqrt d`: call attention with ``scale=1.0``. The returned query
    already contains g.

    Parameters
    ----------
    head_dim : int
        Number of features d of one head; q and k have shape (..., d).
    gain : float, optional
        The starting value of g: by default :math:`\sqrt d`, for which the logits of random vectors have standard
        deviation 1, as usual logits have. The paper derives the starting value from the length of the sequences.
    eps : float, default 1e-6
        The smallest length to divide by.
    device, dtype : optional
        Of the parameter ``gain``, of shape (1,).

    Raises
    ------
    ValueError
        If an argument or the last axis of q or k does not fit.

    References
    ----------
    Henry, Dachapally, Pawar and Chen (2020), arXiv:2010.04245.

    Examples
    --------
    >>> q, k = CosineQKNorm(2, gain=10.0)(torch.tensor([[300.0, 400.0]]), torch.tensor([[0.0, -7.0]]))
    >>> (q @ k.T).detach().round(decimals=3)
    tensor([[-8.]])
    """

    def __init__(
        self,
        head_dim: int,
        *,
        gain: float | None = None,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.head_dim = positive_int("head_dim", head_dim)
        self.eps = number("eps", eps, at_least=0)
        self.gain_init_value = self.head_dim**0.5 if gain is None else number("gain", gain)
        self.gain = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Put the gain back to its starting value."""
        nn.init.constant_(self.gain, self.gain_init_value)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return self._unit("q", q, self.gain), self._unit("k", k)

    def _unit(self, name: str, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        check_last_axes(x, (self.head_dim,), name)
        return (gain * F.normalize(upcast(x), dim=-1, eps=self.eps)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.head_dim}, eps={self.eps}"
