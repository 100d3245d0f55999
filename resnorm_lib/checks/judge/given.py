"""Modules that checks hand to answers. They travel to where an answer runs, so nothing here says what is expected."""

import torch
from torch import Tensor, nn

__all__ = ["Ahead"]


class Ahead(nn.Module):
    """Give out, from a position on, the token some places ahead; before it the token itself."""

    def __init__(self, first: int, ahead: int) -> None:
        super().__init__()
        self.first, self.ahead = first, ahead

    def forward(self, tokens: Tensor) -> Tensor:
        later = torch.cat([tokens[:, self.ahead :], tokens[:, : self.ahead] * 0], 1)
        place = torch.arange(tokens.shape[1])
        return torch.where(place < self.first, tokens, later)[..., None].double()
