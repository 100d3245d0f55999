"""The branches of a Transformer: from (N, T, reads) to (N, T, writes).

A model hands the same keywords to all branches, and each ignores what it has no use for: ``padding`` (N, T), True at
padding positions; ``memory`` (N, S, m), the encoder's output for a decoder; ``memory_padding`` (N, S).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib._arguments import choice, flag, number, positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.rotary import rotate
from resnorm_lib.norms import QKNorm
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.scheme import Branch

__all__ = ["CrossAttention", "FeedForward", "SelfAttention"]

QK_NORMS = ("rms", "layer")
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU(approximate="tanh")}


def linear(reads: int, writes: int, parts: int = 1, bias: bool = True) -> nn.Linear:
    """Return a linear layer, or several fused in one, initialised as by Glorot and Bengio (2010), with biases 0."""
    return start(nn.Linear(reads, parts * writes, bias=flag("bias", bias)), parts)


def start(layer: nn.Linear, parts: int = 1) -> nn.Linear:
    """Return the layer after giving it this initialisation."""
    for weight in layer.weight.chunk(parts):
        nn.init.xavier_uniform_(weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def width(name: str, value: int | None, default: int) -> int:
    return positive_int(name, default if value is None else value)


def earlier(length: int, device: torch.device) -> Tensor:
    """Return which tokens (length, length) each token may see: itself and those before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


class _Attention(nn.Module):
    causal = rotary = False

    def __init__(self, dim: int, num_heads: int, qk_norm: Norm, dropout: float) -> None:
        super().__init__()
        self.dim, self.num_heads = positive_int("dim", dim), positive_int("num_heads", num_heads)
        if dim % num_heads:
            raise ValueError(f"num_heads is {num_heads}, but it must divide dim, which is {dim}.")
        if qk_norm is not None and not callable(qk_norm):
            choice("qk_norm", qk_norm, QK_NORMS)
        self.qk_norm = None if qk_norm is None else QKNorm(dim // num_heads, qk_norm)
        self.inner_norm = nn.Identity()
        self.dropout = nn.Dropout(number("dropout", dropout, at_least=0, at_most=1))

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

    def scaled_dot_product(
        self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Return what each head takes over from the values (N, heads, S, e), for the queries (N, heads, T, e)."""
        share = self.dropout.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, seen, share, is_causal)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, **mask: Any) -> Tensor:
        q, k, v = self.heads(q), self.heads(k), self.heads(v)
        if self.qk_norm is not None:
            q, k = self.qk_norm(q, k)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        return self.write(self.scaled_dot_product(q, k, v, **mask))

    def write(self, y: Tensor) -> Tensor:
        """Return what the heads (N, heads, T, e) write into the stream."""
        return self.dropout(self.output_projection(self.inner_norm(y.transpose(-3, -2).flatten(-2))))

    def mask(self, x: Tensor, padding: Tensor | None) -> dict[str, Any]:
        """Return what tells :meth:`scaled_dot_product` which tokens of the sequence itself a token sees."""
        if padding is None:
            return {"is_causal": self.causal}
        seen = ~padding[:, None, None, :]
        return {"seen": seen & earlier(x.shape[1], x.device) if self.causal else seen}


class SelfAttention(_Attention):
    r"""Multi-head attention of a sequence to itself: :math:`\mathrm{softmax}(QK^\top / \sqrt{d_h})\,V`, a linear map.

    Vaswani et al. (2017), arXiv:1706.03762.

    Parameters
    ----------
    dim, num_heads : int
        Width of queries, keys and values all heads together; number of heads, which divides it.
    reads, writes : int, optional
        Width of what it reads and writes; ``dim`` by default.
    causal : bool, default False
        A token sees none after it.
    rotary : bool, default False
        Turn the queries and keys of each head by their positions, after their norm: Su et al. (2024), arXiv:2104.09864.
    qk_norm : {"rms", "layer"}, class or callable, optional
        Normalize the queries and keys of each head: :class:`resnorm_lib.norms.QKNorm`.
    dropout : number, default 0
        Of the attention's weights and of the output.
    bias : bool, default True
        Of the linear maps.
    device, dtype : optional
        Of the parameters, which are drawn on the CPU in float32.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> SelfAttention(8, 2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    mixes_values = True

    @meta_at_once
    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        reads: int | None = None,
        writes: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        qk_norm: Norm = None,
        dropout: float = 0.0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dim, num_heads, qk_norm, dropout)
        self.causal, self.rotary = flag("causal", causal), flag("rotary", rotary)
        if rotary and dim // num_heads % 2:
            raise ValueError(f"dim / num_heads is {dim // num_heads}, but for rotary positions it must be even.")
        self.qkv = linear(width("reads", reads, dim), dim, parts=3, bias=bias)
        self.output_projection = linear(dim, width("writes", writes, dim), bias=bias)
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010)."""
        start(self.qkv, parts=3)
        start(self.output_projection)

    def scaled_weights(self) -> list[Tensor]:
        return [self.qkv.weight[2 * self.dim :], self.output_projection.weight]

    def forward(self, x: Tensor, *, padding: Tensor | None = None, mix_values: Branch | None = None, **_) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if mix_values is not None:
            v = mix_values(v)
        return self.attend(q, k, v, **self.mask(x, padding))


class CrossAttention(_Attention):
    """Multi-head attention of a decoder's sequence to the memory of its encoder.

    Parameters
    ----------
    dim, num_heads, reads, writes, qk_norm, dropout, bias, device, dtype
        As for :class:`SelfAttention`.
    memory_dim : int, optional
        Width m of the memory; ``dim`` by default.

    Raises
    ------
    ValueError
        If an argument does not fit, or the call has no memory.

    Examples
    --------
    >>> CrossAttention(8, 2, memory_dim=6)(torch.zeros(1, 5, 8), memory=torch.zeros(1, 3, 6)).shape
    torch.Size([1, 5, 8])
    """

    @meta_at_once
    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        reads: int | None = None,
        writes: int | None = None,
        memory_dim: int | None = None,
        qk_norm: Norm = None,
        dropout: float = 0.0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dim, num_heads, qk_norm, dropout)
        self.query = linear(width("reads", reads, dim), dim, bias=bias)
        self.key_value = linear(width("memory_dim", memory_dim, dim), dim, parts=2, bias=bias)
        self.output_projection = linear(dim, width("writes", writes, dim), bias=bias)
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010)."""
        start(self.query)
        start(self.key_value, parts=2)
        start(self.output_projection)

    def scaled_weights(self) -> list[Tensor]:
        return [self.key_value.weight[self.dim :], self.output_projection.weight]

    def forward(self, x: Tensor, *, memory: Tensor | None = None, memory_padding: Tensor | None = None, **_) -> Tensor:
        if memory is None:
            raise ValueError("memory is None, but cross-attention must be given what it reads: memory=(N, S, m).")
        k, v = self.key_value(memory).chunk(2, -1)
        seen = None if memory_padding is None else ~memory_padding[:, None, None, :]
        return self.attend(self.query(x), k, v, seen=seen)


class FeedForward(nn.Module):
    r"""Two linear maps with an activation between them, for each token: :math:`W_2\, g(W_1 x + b_1) + b_2`.

    Parameters
    ----------
    dim : int
    hidden : int, optional
        Width in the middle; four times ``dim`` by default.
    reads, writes : int, optional
        Width of what it reads and writes; ``dim`` by default.
    activation : {"gelu", "gelu_tanh", "silu", "relu"}
        g; GPT-2 has the tanh approximation of GELU.
    dropout : number, default 0
        Of the output.
    bias, device, dtype
        As for :class:`SelfAttention`.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> FeedForward(8)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    @meta_at_once
    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        *,
        reads: int | None = None,
        writes: int | None = None,
        activation: str = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        hidden = width("hidden", hidden, 4 * positive_int("dim", dim))
        self.up = linear(width("reads", reads, dim), hidden, bias=bias)
        self.activation = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]()
        self.inner_norm = nn.Identity()
        self.output_projection = linear(hidden, width("writes", writes, dim), bias=bias)
        self.dropout = nn.Dropout(number("dropout", dropout, at_least=0, at_most=1))
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010)."""
        start(self.up)
        start(self.output_projection)

    def scaled_weights(self) -> list[Tensor]:
        return [self.up.weight, self.output_projection.weight]

    def forward(self, x: Tensor, **_) -> Tensor:
        return self.dropout(self.output_projection(self.inner_norm(self.activation(self.up(x)))))
