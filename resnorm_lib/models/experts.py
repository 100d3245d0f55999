"""Mixture of experts: a layer of many feed-forwards, of which each token goes through a few."""

from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import choice, positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.gated_feed_forward import GatedFeedForward
from resnorm_lib.models.transformer_branches import linear, start, width

__all__ = ["Experts"]

SCORES = ("softmax", "sigmoid")


class Experts(nn.Module):
    r"""Add up the gated feed-forwards that a token chooses, and one that all tokens go through.

    .. math:: y = \sum_{i \in \text{top } k} g_i\, E_i(x) + E_0(x), \qquad \sum_i g_i = 1

    The scores are :math:`s = W x + b`. With ``scores="softmax"`` the shares g are the softmax of the k highest, as in
    gpt-oss; with ``"sigmoid"`` they are their sigmoids, divided by the sum, as in DeepSeek-V3. What keeps all experts
    busy in training is left out, and every expert computes every token, so it saves no time: for small models.

    Shazeer et al. (2017), arXiv:1701.06538; DeepSeek-AI (2024), arXiv:2412.19437.

    Parameters
    ----------
    dim, hidden, reads, writes, activation, dropout
        Of each expert: as for ``GatedFeedForward``.
    bias, device, dtype
        Of the experts and of the linear map of the scores: as for ``GatedFeedForward``.
    num_experts, num_chosen : int
        Experts, and how many of them a token chooses.
    shared : bool, default False
        Whether there is the expert E_0.
    scores : {"softmax", "sigmoid"}

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> Experts(8, num_experts=4, num_chosen=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    @meta_at_once
    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        *,
        num_experts: int,
        num_chosen: int,
        shared: bool = False,
        scores: str = "softmax",
        reads: int | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if positive_int("num_chosen", num_chosen) > positive_int("num_experts", num_experts):
            raise ValueError(f"num_chosen is {num_chosen}, but there are {num_experts} experts.")
        self.num_chosen, self.scores = num_chosen, choice("scores", scores, SCORES)
        self.router = linear(width("reads", reads, dim), num_experts, bias=bias)
        count = num_experts + bool(shared)
        options |= {"reads": reads, "bias": bias}
        self.experts = nn.ModuleList(GatedFeedForward(dim, hidden, **options) for _ in range(count))
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the router another start, as in Glorot and Bengio (2010); each expert resets itself."""
        start(self.router)

    def shares(self, x: Tensor) -> Tensor:
        """Return the share (N, T, num_experts) of each expert, 0 where it was not chosen."""
        scores = self.router(x)
        highest, chosen = scores.topk(self.num_chosen, -1)
        if self.scores == "softmax":
            shares = highest.softmax(-1)
        else:
            open_gates = highest.sigmoid()
            shares = open_gates / open_gates.sum(-1, keepdim=True)
        return torch.zeros_like(scores, dtype=shares.dtype).scatter(-1, chosen, shares)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        shares = self.shares(x)
        routed = zip(self.experts, shares.unbind(-1))
        y = sum(share.unsqueeze(-1) * expert(x) for expert, share in routed)
        return y + self.experts[-1](x) if len(self.experts) > shares.shape[-1] else y
