"""One epoch of any data set, batch by batch."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from resnorm_lib import _arguments

__all__ = ["batches"]


def batches(
    x: Tensor, y: Tensor, batch_size: int, generator: Generator | None = None, drop_last: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of batches of x and y until every sample was seen once: one epoch.

    Parameters
    ----------
    x, y : torch.Tensor
        (n, ...) each, on the same device.
    batch_size : int
    generator : torch.Generator, optional
        Shuffles; on any device. Left out, the order is that of x.
    drop_last : bool
        Leave out the last batch where it is smaller than the others.

    Raises
    ------
    ValueError
        If lengths or devices differ, x is empty, or batch_size is no positive integer.

    Examples
    --------
    >>> x = torch.arange(5)
    >>> [len(a) for a, _ in batches(x, 2 * x, 2, generator=torch.Generator().manual_seed(0))]
    [2, 2, 1]
    >>> [a.tolist() for a, _ in batches(x, 2 * x, 2, drop_last=True)]
    [[0, 1], [2, 3]]
    """
    check_pair(x, y)
    batch_size = _arguments.positive_int("batch_size", batch_size)
    drop_last = _arguments.flag("drop_last", drop_last)
    order = epoch_order(len(x), generator, x.device)
    return ((x[index], y[index]) for index in parts(order, batch_size, drop_last))


def check_pair(x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless x and y are as long as each other, not empty, and on one device."""
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}, but their first sizes must be equal, not 0."
        )
    if x.device != y.device:
        raise ValueError(f"y is on {y.device}, but it must be on {x.device}, where x is.")


def epoch_order(length: int, generator: Generator | None, device: torch.device) -> Tensor:
    """Return each index once, on ``device``: in order, or as the generator shuffles them on the device where it is."""
    if generator is None:
        return torch.arange(length, device=device)
    return torch.randperm(length, generator=generator, device=generator.device).to(device)


def parts(order: Tensor, batch_size: int, drop_last: bool) -> tuple[Tensor, ...]:
    """Split the order into pieces of ``batch_size``."""
    pieces = order.split(batch_size)
    return pieces[:-1] if drop_last and len(pieces[-1]) < batch_size else pieces
