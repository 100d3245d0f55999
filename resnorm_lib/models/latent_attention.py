"""The attention of DeepSeek-V2 and V3: queries, and keys with values, come from short vectors that are normalized."""

from typing import Any

import torch
from torch import Tensor

from resnorm_lib._arguments import flag, positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.rotary import rotate
from resnorm_lib.models.transformer_branches import _Attention, linear, start, width
from resnorm_lib.norms.registry import Norm, make_norm
from resnorm_lib.residual.scheme import Branch

__all__ = ["LatentAttention"]


class LatentAttention(_Attention):
    r"""Multi-head latent attention: only a short vector for each token need be kept for the tokens that follow.

    .. math:: Q = W_Q\, N(W_{\downarrow Q}\, x), \qquad
       (c, k^R) = W_{\downarrow}\, x, \qquad (K, V) = W_{KV}\, N(c)

    The queries and keys of a head have two parts: one without positions, as wide as its values, and one of
    ``rotary_dim`` features that is turned by the position; the turned part of the key, :math:`k^R`, is the same in all
    heads. DeepSeek-AI (2024), arXiv:2405.04434.

    Parameters
    ----------
    dim, num_heads : int
        Width of the values, all heads together; number of heads, which divides it.
    query_rank, key_value_rank : int
        Width of the short vectors.
    rotary_dim : int
        Features of a head that the position turns; not used if ``rotary`` is off.
    norm : str, class or callable, default "rms"
        The norm N of the short vectors.
    reads, writes, causal, rotary, dropout, bias, device, dtype
        As for ``SelfAttention``.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> branch = LatentAttention(8, 2, query_rank=6, key_value_rank=4, rotary_dim=2, rotary=True)
    >>> branch(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    mixes_values = True

    @meta_at_once
    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        query_rank: int,
        key_value_rank: int,
        rotary_dim: int,
        norm: Norm = "rms",
        reads: int | None = None,
        writes: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        qk_norm: None = None,
        dropout: float = 0.0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dim, num_heads, None, dropout)
        if qk_norm is not None:
            raise ValueError("qk_norm is given, but latent attention normalizes the short vectors: use norm for these.")
        if positive_int("rotary_dim", rotary_dim) % 2:
            raise ValueError(f"rotary_dim is {rotary_dim}, but it must be even.")
        self.causal, reads = flag("causal", causal), width("reads", reads, dim)
        self.rotary_dim = rotary_dim if flag("rotary", rotary) else 0
        self.key_value_rank = positive_int("key_value_rank", key_value_rank)
        self.query_down = linear(reads, positive_int("query_rank", query_rank), bias=bias)
        self.query_norm = make_norm(norm, query_rank)
        self.query = linear(query_rank, dim + num_heads * self.rotary_dim, bias=bias)
        self.key_value_down = linear(reads, key_value_rank + self.rotary_dim, bias=bias)
        self.key_value_norm = make_norm(norm, key_value_rank)
        self.key_value = linear(key_value_rank, dim, parts=2, bias=bias)
        self.output_projection = linear(dim, width("writes", writes, dim), bias=bias)
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010)."""
        for layer in (self.query_down, self.query, self.key_value_down, self.output_projection):
            start(layer)
        start(self.key_value, parts=2)

    def scaled_weights(self) -> list[Tensor]:
        down = self.key_value_down.weight[: self.key_value_rank]
        return [down, self.key_value.weight.chunk(2)[1], self.output_projection.weight]

    def forward(
        self, x: Tensor, *, padding: Tensor | None = None, mix_values: Branch | None = None, **_: Any
    ) -> Tensor:
        q = self.heads(self.query(self.query_norm(self.query_down(x))))  # (N, heads, T, e + r)
        short, turned = self.key_value_down(x).split((self.key_value_rank, self.rotary_dim), -1)
        k, v = self.key_value(self.key_value_norm(short)).chunk(2, -1)
        if mix_values is not None:
            v = mix_values(v)
        k, v = self.heads(k), self.heads(v)  # (N, heads, T, e)
        if self.rotary_dim:
            q, q_turned = q.split((q.shape[-1] - self.rotary_dim, self.rotary_dim), -1)
            turned = rotate(turned).unsqueeze(-3).expand(*k.shape[:-1], -1)
            q, k = torch.cat([q, rotate(q_turned)], -1), torch.cat([k, turned], -1)
        return self.write(self.scaled_dot_product(q, k, v, **self.mask(x, padding)))
