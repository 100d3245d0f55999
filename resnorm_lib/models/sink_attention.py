"""The attention of gpt-oss: a head may look at nothing, because a learned score stands beside those of the tokens."""

from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib.models.transformer_branches import SelfAttention, earlier

__all__ = ["SinkAttention"]


class SinkAttention(SelfAttention):
    r"""Self-attention whose softmax has one score more for each head, s, which belongs to no token.

    .. math:: p_{ij} = \frac{e^{a_{ij}}}{e^{s} + \sum_k e^{a_{ik}}}, \qquad a = QK^\top / \sqrt{d_h}

    So the weights of a token add up to less than one. OpenAI (2025), gpt-oss-120b & gpt-oss-20b Model Card,
    arXiv:2508.10925.

    Parameters
    ----------
    others
        As for ``SelfAttention``. The parameter ``sink``, shape (num_heads,), starts at zero.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> SinkAttention(8, 2, causal=True)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sink = nn.Parameter(self.output_projection.weight.new_zeros(self.num_heads))

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010), and set the sinks to zero."""
        super().reset_parameters()
        nn.init.zeros_(self.sink)

    def scaled_dot_product(
        self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        nothing = torch.zeros_like(k[..., :1, :])  # the key scores 0, to which s is added; the value says nothing
        if is_causal:
            seen = earlier(q.shape[-2], q.device)
        mask = q.new_zeros(*q.shape[:-1], k.shape[-2])  # (N, heads, T, S)
        if seen is not None:
            mask = mask.masked_fill(~seen, -torch.inf)
        sink = self.sink.to(q.dtype)[:, None, None].expand(*q.shape[:-1], 1)
        return super().scaled_dot_product(
            q, torch.cat([k, nothing], -2), torch.cat([v, nothing], -2), torch.cat([mask, sink], -1)
        )
