"""A model is left as it was found: gradients, buffers and the states of the random generators."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import checkpoint

__all__ = ["plain_checkpoints", "untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Restore, bit for bit, what a forward and a backward pass change, also if one of them raises."""
    buffers = [(m, dict(m._buffers.items()), _copies(m)) for m in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 -- models that draw from it exist
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    for parameter, _ in gradients:
        parameter.grad = None  # what a custom backward pass accumulates must not reach the user's
    try:
        with torch.random.fork_rng(sorted(devices)):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, found, values in buffers:
            _put_back(module, found, values)


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: _distinct(buffer).clone() for name, buffer in module.named_buffers(recurse=False)}


def _distinct(buffer: Tensor) -> Tensor:
    """Return a view of the entries that have a place in memory of their own: of an expanded axis, the first."""
    if buffer.layout != torch.strided or buffer.is_nested:
        return buffer
    return buffer[tuple(slice(1) if stride == 0 else slice(None) for stride in buffer.stride())]


def _put_back(module: nn.Module, found: dict[str, Tensor | None], values: dict[str, Tensor]) -> None:
    if not isinstance(module, torch.jit.ScriptModule):  # which cannot make or drop buffers
        module._buffers.clear()
        module._buffers.update(found)
    for name, value in values.items():
        with torch.inference_mode(found[name].is_inference()), torch.no_grad():
            _distinct(found[name]).copy_(value)


@contextmanager
def plain_checkpoints() -> Iterator[None]:
    """Run reentrant checkpoints as non-reentrant ones, which keep as little memory.

    A reentrant checkpoint runs its part without a graph, so that no gradient inside it could be measured, and it
    refuses :func:`torch.autograd.grad`.
    """
    reentrant = checkpoint.CheckpointFunction

    class Instead:
        @staticmethod
        def apply(function: Callable[..., object], preserve: bool, *args) -> object:
            if not any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args):
                return reentrant.apply(function, preserve, *args)  # it cuts the graph here, in training too
            return checkpoint.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve)

    checkpoint.CheckpointFunction = Instead
    try:
        yield
    finally:
        checkpoint.CheckpointFunction = reentrant
