"""Count the messages that a program really sends between processes: how many, and how large."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Traffic"]

# The operations below torch.distributed, DTensor and their compiled forms, by what they do.
COLLECTIVES = {
    "all-reduce": ("allreduce_", "allreduce_coalesced_", "all_reduce", "all_reduce_", "all_reduce_coalesced"),
    "all-gather": ("allgather_", "_allgather_base_", "allgather_into_tensor_coalesced_", "all_gather_into_tensor"),
    "reduce-scatter": ("reduce_scatter_", "_reduce_scatter_base_", "reduce_scatter_tensor"),
    "broadcast": ("broadcast_", "broadcast"),
}
KIND = {name: kind for kind, names in COLLECTIVES.items() for name in names}
ONE_PART = ("all_gather_into_tensor",)  # is given the part of a process alone, and how many there are


class Traffic(TorchDispatchMode):
    r"""Record the collective operations between ``with`` and its end, those of the backward pass too.

    ``calls[kind]`` counts them, ``bytes[kind]`` adds up the sizes of the *whole* tensors: what each process holds
    before and after an all-reduce or a broadcast, after an all-gather, before a reduce-scatter. ``kind`` is one of
    "all-reduce", "all-gather", "reduce-scatter" and "broadcast". How much of it travels depends on the algorithm:
    :func:`resnorm_lib.parallel.costs.ring_bytes`.

    Examples
    --------
    >>> from resnorm_lib.parallel import run
    >>> def work():
    ...     with Traffic() as traffic:
    ...         torch.distributed.all_reduce(torch.ones(3))
    ...     print(traffic)
    >>> run(work, processes=1)
    1 all-reduce of 12 bytes
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        operation: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if any(kind.__name__ == "DTensor" for kind in types):  # by name: importing the class takes a second
            return NotImplemented  # it comes back here with the operations on its parts
        space, _, name = operation.name().partition("::")
        kind = KIND.get(name.partition(".")[0])
        if space in ("c10d", "_c10d_functional") and kind:
            copies = args[1] if name in ONE_PART else 1
            self.calls[kind] += 1
            self.bytes[kind] += copies * max(_bytes(each) for each in args)
        return operation(*args, **(kwargs or {}))

    def __repr__(self) -> str:
        return " and ".join(
            f"{count} {kind}{'s' * (count > 1)} of {self.bytes[kind]} bytes{' in all' * (count > 1)}"
            for kind, count in sorted(self.calls.items())
        ) or "nothing is sent"  # fmt: skip


def _bytes(argument: object) -> int:
    return sum(each.nbytes for each in tree_leaves(argument) if isinstance(each, torch.Tensor))
