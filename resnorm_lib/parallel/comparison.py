"""Compare what several processes have computed with what one has."""

import torch
import torch.distributed as dist

__all__ = ["close", "distance"]

ROUNDING = 1e-12  # what float64 leaves of a sum of some thousand products in another order, with a wide margin


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest distance over all processes, relative to the length of b."""
    found = ((a - b).norm() / b.norm()).reshape(1)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return found.item()


def close(value: float) -> str:
    """Write a relative distance; one that rounding explains in float64 is written as equal.

    Examples
    --------
    >>> close(3e-16), close(0.25)
    ('equal', '0.25 away')
    """
    return "equal" if value < ROUNDING else f"{value:.2f} away"
