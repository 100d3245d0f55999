"""The last linear map of a language model, and how it shares its weight with the embedding."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib._arguments import flag

__all__ = ["TiedLinear", "make_head", "start_head"]


def make_head(stack: nn.Module, embedding: nn.Module, tied: bool) -> nn.Linear:
    """Return the map from features (N, T, out_dim) to logits (N, T, vocab_size). Tied, its weight is the embedding's.

    Raises
    ------
    ValueError
        If the embedding has not the width of the stream at its end.
    """
    words, dim = embedding.token.weight.shape
    if flag("tied", tied):
        if stack.out_dim == dim:
            return TiedLinear(embedding)
        raise ValueError(
            f"tied is True, but this scheme makes a stream of {stack.out_dim} features from {dim}: use tied=False."
        )
    head = nn.Linear(stack.out_dim, words, bias=False)
    start_head(head, stack)
    return head


def start_head(head: nn.Linear, stack: nn.Module) -> None:
    """Draw the weights of a head that is not tied."""
    if not isinstance(head, TiedLinear):
        nn.init.normal_(head.weight, std=stack.out_dim**-0.5 * stack.head_gain)


class TiedLinear(nn.Linear):
    """A linear layer whose weight is the parameter ``embedding.token.weight``, which resets and stores it.

    Adapters, hooks and pruning find a layer like any other. The two stay one parameter where torch would part them:
    when a model leaves the meta device, and when a state dict is assigned. If another layer or parameter is put in the
    embedding's place, its weight is the one that counts here too, and ``tie()`` makes one parameter of the two again.
    """

    def __init__(self, embedding: nn.Module) -> None:
        words, dim = embedding.token.weight.shape
        super().__init__(dim, words, bias=False, device="meta")
        self.tied_to = (embedding,)  # in a tuple, so that it is no part of this layer
        self.tie()

    def tie(self) -> None:
        """Take the parameter of the embedding, unless pruning or a parametrization has put another in its place."""
        if "weight" in self._parameters and "weight" in self.tied_to[0].token._parameters:
            self.weight = self.tied_to[0].token.weight

    def forward(self, x: Tensor) -> Tensor:
        token = self.tied_to[0].token
        # Pruning or a parametrization of the embedding leaves another weight there, which is the one that is tied.
        is_changed = "weight" in self._parameters and "weight" not in token._parameters
        return F.linear(x, token.weight if is_changed or self._is_left_behind(token) else self.weight)

    def _is_left_behind(self, token: nn.Module) -> bool:
        """Return whether the embedding has a new parameter. On another device both are new, as in offloading."""
        mine, new = self._parameters.get("weight"), token._parameters.get("weight")
        return None not in (mine, new) and mine is not new and mine.device == new.device and not new.is_meta

    def reset_parameters(self) -> None:
        """Do nothing: the embedding resets the weight."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TiedLinear":
        super()._apply(fn, recurse)
        self.tie()
        return self

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        if "weight" not in self._parameters:
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *others: Any) -> None:
        if "weight" not in self._parameters:
            return super()._load_from_state_dict(state_dict, prefix, *others)
        self.tie()
        given, errors = state_dict.get(f"{prefix}weight"), others[-1]
        if given is None or given.is_meta or self.weight.is_meta:
            return None
        if not torch.equal(given.to(self.weight), self.weight):
            errors.append(f"{prefix}weight is not the embedding, to which this head is tied: build with tied=False.")
        return None
