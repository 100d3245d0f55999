"""The feed-forward of LLaMA and Gemma: the hidden features are multiplied by a second linear map of the input."""

from typing import Any

from torch import Tensor

from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.transformer_branches import FeedForward, linear, start

__all__ = ["GatedFeedForward"]


class GatedFeedForward(FeedForward):
    r"""Gated linear units, for each token: :math:`W_2 \bigl(g(W_0 x + b_0) \odot (W_1 x + b_1)\bigr) + b_2`.

    Three matrices instead of two: with two thirds of the hidden width it has as many weights as :class:`FeedForward`.
    With ``activation="silu"`` it is SwiGLU, with ``"gelu"`` GEGLU. Shazeer (2020), arXiv:2002.05202.

    Parameters
    ----------
    dim, hidden, reads, writes, activation, dropout, bias, device, dtype
        As for :class:`FeedForward`.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import torch
    >>> GatedFeedForward(8, activation="silu")(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    @meta_at_once
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gate = linear(self.up.in_features, self.up.out_features, bias=self.up.bias is not None)
        self.gate.to(self.up.weight)

    def reset_parameters(self) -> None:
        """Give the linear maps another start, as in Glorot and Bengio (2010)."""
        super().reset_parameters()
        start(self.gate)

    def forward(self, x: Tensor, **_) -> Tensor:
        hidden = self.activation(self.gate(x)) * self.up(x)
        return self.dropout(self.output_projection(self.inner_norm(hidden)))
