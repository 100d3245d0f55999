"""A branch must leave the stream as it found it: the shortcut, and other branches, read the same tensor."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from resnorm_lib.ops.dispatch import is_wrapped

__all__ = ["check_traceable", "check_unwritten", "copying", "counts", "times_written"]


def counts(tensor: Tensor) -> bool:
    """Return whether torch counts the operations that write into the tensor."""
    return not torch.compiler.is_compiling() and not tensor.is_inference() and not is_wrapped(tensor)


def check_traceable(state: object) -> None:
    """Raise a ``ValueError`` where ``torch.fx.symbolic_trace`` asks."""
    if isinstance(state, Proxy):
        raise ValueError("torch.fx.symbolic_trace cannot follow the checks of a block: use torch.export.export.")


def times_written(*tensors: Tensor | None) -> list[int]:
    """Return how often each tensor has been written into, 0 where torch does not count."""
    return [tensor._version if isinstance(tensor, Tensor) and counts(tensor) else 0 for tensor in tensors]


def check_unwritten(before: list[int], *tensors: Tensor | None) -> None:
    """Raise a ``ValueError`` if one of the tensors has been written into since ``times_written`` said ``before``."""
    if times_written(*tensors) != before:
        raise ValueError(
            "the block writes into the stream in place, but the shortcut still needs what was there: "
            "give the first operation of its branch inplace=False, or put a norm before it."
        )


def copying(branch: Callable, block: nn.Module, *tensors: Tensor | None) -> Callable:
    """Return the branch, reading a copy where torch does not count who writes.

    That is where it reads one of the tensors itself, or a module of the block says ``inplace=True``. A compiler leaves
    a copy out that nobody writes into.
    """
    unseen = [tensor for tensor in tensors if isinstance(tensor, Tensor) and not counts(tensor)]
    if not unseen:
        return branch
    writes = any(getattr(module, "inplace", False) for module in block.modules())

    def reading(read: Tensor, **more) -> Tensor:
        return branch(read.clone() if writes or any(read is tensor for tensor in unseen) else read, **more)

    return reading
