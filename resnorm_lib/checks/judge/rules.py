"""What the statement of an exercise rules out, and how a check sees that an answer does it all the same."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

__all__ = ["RULES", "watched"]

# For each rule the names of torch's functions that break it (every way to them leads through one of these), and what
# the answer is told.
RULES = {
    "autograd": (
        {"grad", "backward", "_make_dual"},
        "The answer asks autograd for the gradient: the exercise is to write it down.",
    ),
    "layers": (
        {f"{name}_norm" for name in ("batch", "layer", "instance", "group", "rms")}
        | {"native_batch_norm", "native_layer_norm", "native_group_norm"},
        "The answer calls torch's own norm: the exercise is to write it with means and roots.",
    ),
    "pad": (
        {"pad", "constant_pad_nd"},
        "The answer calls torch's own padding: the exercise is to allocate zeros and to write into them.",
    ),
}


class _Watch(TorchFunctionMode):
    """Notes the names of torch's functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.called.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@contextmanager
def watched(rules: Iterable[str]) -> Iterator[list[str]]:
    """Let an answer run, and list afterwards what it is told of the rules that it has broken.

    Examples
    --------
    >>> import torch
    >>> with watched(["layers"]) as broken:
    ...     x = torch.nn.LayerNorm(2)(torch.ones(1, 2))
    >>> broken
    ["The answer calls torch's own norm: the exercise is to write it with means and roots."]
    """
    broken, rules = [], tuple(rules)
    if not rules:
        yield broken
        return
    with _Watch() as watch:
        yield broken
    broken += [RULES[rule][1] for rule in rules if RULES[rule][0] & watch.called]
