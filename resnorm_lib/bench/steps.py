"""What norms cost where it counts: a whole training step of a language model, its norms made in several ways.

The step is forward, cross-entropy, backward and AdamW. All ways take turns, a step each, so that whatever else the
machine does falls on all alike; the ratios within a turn are compared.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib.bench.timing import Clock, in_turns, quartiles, summary
from resnorm_lib.bench.torch_versions import layer_norm_chain
from resnorm_lib.models import DecoderLM
from resnorm_lib.norms import LayerNorm
from resnorm_lib.ops.dispatch import kernels

__all__ = ["SIZES", "WAYS", "Size", "build", "time_steps"]


class Size(NamedTuple):
    """A model, its batch, and the dtype of both: a pre-norm decoder with LayerNorm."""

    vocab_size: int
    dim: int
    depth: int
    heads: int
    context: int
    batch: int
    dtype: torch.dtype

    def __str__(self) -> str:
        numbers = str(self.dtype).removeprefix("torch.")
        return f"{self.depth} layers of {self.dim}, {self.batch}x{self.context} tokens, {numbers}"


# The smallest GPT-2 on a GPU; on a processor what trains in tenths of a second.
SIZES = {
    "cuda": Size(50304, 768, 12, 12, 1024, 8, torch.bfloat16),
    "cpu": Size(256, 256, 4, 4, 128, 8, torch.float32),
}

WAYS = {
    "none": "no norm at all: what is left of the step without any",
    "chain": "the formula, one operation at a time",
    "torch": "torch's own kernel",
    "ours": "our kernel, together with the add before it",
    "torch.compile": "the network with torch's norms, compiled",
}


class Chain(nn.Module):
    """LayerNorm as its formula is written, one torch operation for each operation of the formula."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm_chain(x, self.weight, self.bias, self.eps)


def with_chains(module: nn.Module) -> nn.Module:
    """Replace every LayerNorm inside a module by a chain, and return the module."""
    for name, child in module.named_children():
        setattr(module, name, Chain(child)) if isinstance(child, LayerNorm) else with_chains(child)
    return module


def build(way: str, size: Size, device: torch.device) -> Callable[[], object]:
    """Return a function that makes one training step in the given way.

    Raises
    ------
    ValueError
        If the way is none of ``WAYS``.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}, but it must be one of {', '.join(WAYS)}.")
    norm = "none" if way == "none" else "layer"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DecoderLM(
            size.vocab_size, size.dim, depth=size.depth, num_heads=size.heads, context_length=size.context, norm=norm
        )
        tokens = torch.randint(size.vocab_size, (size.batch, size.context + 1)).to(device)
    model = (with_chains(model) if way == "chain" else model).to(device, size.dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    network = torch.compile(model, dynamic=False) if way == "torch.compile" else model

    def step() -> None:
        with kernels("auto" if way == "ours" else "off"):
            logits = network(tokens[:, :-1])
            F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def time_steps(clock: Clock, size: Size, ways: Sequence[str] = tuple(WAYS), turns: int = 15) -> dict[str, dict]:
    """Time a training step in each way, in turns.

    Parameters
    ----------
    clock : Clock
        Of the device on which the steps run.
    size : Size
    ways : sequence of str
        Of ``WAYS``; the first is what the others are compared with.
    turns : int

    Returns
    -------
    dict
        For each way that runs its median and quartiles in seconds, and those of its ratio to the first in a turn.
    """
    steps = {way: build(way, size, clock.device) for way in ways}
    steps = {way: step for way, step in steps.items() if runs(way, step, clock)}
    times = in_turns(steps, clock.once, turns, warm_up=1)  # a compiler needs two calls: the first was the trial
    return {way: compared(times[way], times[ways[0]]) for way in steps}


def runs(way: str, step: Callable[[], object], clock: Clock) -> bool:
    """Return whether a step runs, and print why not: one that fails, a compiler's say, must not end all others."""
    try:
        clock.once(step)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        print(f"    {way} is left out. {type(error).__name__}: {reason}"[:300], file=sys.stderr, flush=True)
        return False
    return True


def compared(times: Sequence[float], base: Sequence[float]) -> dict:
    """Return the summary of times, and the quartiles of their ratios to the base times of the same turns."""
    low, ratio, high = quartiles([a / b for a, b in zip(times, base)])
    return summary(times) | {"ratio": ratio, "lower_ratio": low, "upper_ratio": high}
