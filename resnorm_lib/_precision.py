"""Sixteen bits are for storage: what is summed or squared is widened first."""

from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["HALF", "statistics_dtype", "upcast"]

HALF = (torch.float16, torch.bfloat16)
Values = TypeVar("Values", Tensor, Tensor | None)


def statistics_dtype(x: Tensor | torch.dtype) -> torch.dtype:
    """Return the dtype of means, sums and variances of ``x``: float64 for float64, float32 for all narrower dtypes."""
    return torch.float64 if (x if isinstance(x, torch.dtype) else x.dtype) == torch.float64 else torch.float32


def upcast(x: Values) -> Values:
    """Return float16 and bfloat16 as float32: 11 or 8 bits are too few for a sum or a square. None stays None."""
    return x.float() if x is not None and x.dtype in HALF else x
