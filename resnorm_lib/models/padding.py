"""Padding: the tokens that only fill up a row."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["check_padding"]


def check_padding(name: str, padding: Tensor | None, tokens: Tensor, *parts: nn.Module) -> Tensor | None:
    """Return the padding, after checking that it fits the tokens and the norms of the parts that the tokens go through.

    Raises
    ------
    ValueError
        If it is not a mask of the shape of the tokens, or a norm would count padding into the statistics of a batch.
    """
    if padding is None:
        return None
    if padding.dtype != torch.bool or padding.shape != tokens.shape:
        raise ValueError(
            f"{name} is {padding.dtype} of shape {tuple(padding.shape)}, but it must be torch.bool of the shape "
            f"of the tokens, {tuple(tokens.shape)}: True at padding positions."
        )
    for norm in (module for part in parts for module in part.modules() if isinstance(module, _BatchNorm)):
        if norm.training or norm.running_mean is None:
            raise ValueError(
                f"{name} is given, but {type(norm).__name__} would count padding into the statistics of the batch: "
                "use a norm of rows ('layer', 'rms'), rows of one length without padding, or eval()."
            )
    return padding
