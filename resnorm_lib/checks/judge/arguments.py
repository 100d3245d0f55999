"""What an answer may touch: the tensors and arrays among its arguments, and whether it left them as they were."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["gradients", "leaves", "overwritten", "structure", "values"]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Tensor | np.ndarray]]:
    """Yield (path, tensor or array) for all in ``value``: of containers, modules and optimizers too.

    Examples
    --------
    >>> [path for path, _ in leaves((torch.zeros(2), {"w": torch.ones(1)}))]
    ['.0', '.1.w']
    """
    if isinstance(value, Tensor | np.ndarray):
        yield path, value
    elif isinstance(value, nn.Module):
        yield from leaves(value.state_dict(keep_vars=True), path)
    elif isinstance(value, torch.optim.Optimizer):
        yield from leaves([group["params"] for group in value.param_groups], path)
        yield from leaves(list(value.state.values()), f"{path}.state")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from leaves(each, f"{path}.{number}")


def structure(arguments: tuple) -> list[tuple]:
    """Return path and shape of every leaf, and the path of the first that lies in the same memory.

    It changes where a module loses or gains a part, or comes to share one with another module.

    Examples
    --------
    >>> one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> before = structure((one, other))
    >>> other.weight = one.weight
    >>> structure((one, other)) == before
    False
    """
    first: dict[int | str, str] = {}
    return [
        (path, tuple(leaf.shape), first.setdefault(_memory(leaf) or path, path)) for path, leaf in leaves(arguments)
    ]


def _memory(leaf: Tensor | np.ndarray) -> int:
    return leaf.data_ptr() if isinstance(leaf, Tensor) else leaf.ctypes.data if leaf.size else 0


def values(arguments: tuple) -> dict[str, Tensor | np.ndarray]:
    """Return a copy of every leaf."""
    return {
        path: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf.copy() for path, leaf in leaves(arguments)
    }


def overwritten(before: dict[str, Tensor | np.ndarray], arguments: tuple) -> list[str]:
    """Return the paths of the leaves that are not what they were."""
    return [path for path, leaf in leaves(arguments) if path in before and not _same(before[path], leaf)]


def gradients(result: Any, places: Sequence[Tensor]) -> tuple[Tensor | None, ...] | None:
    """Return the gradients of a number at tensors, None for one that it does not depend on; None if it carries none.

    Examples
    --------
    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> gradients((3 * x).sum(), [x, y])
    (tensor([3., 3.]), None)
    """
    if not (isinstance(result, Tensor) and result.requires_grad):
        return None
    return torch.autograd.grad(result, list(places), allow_unused=True)


def _same(one: Tensor | np.ndarray, other: Tensor | np.ndarray) -> bool:
    one, other = (torch.as_tensor(each).detach() for each in (one, other))
    return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
