"""A stack of reversible blocks whose backward pass recomputes each state from the next one, so that none is kept."""

import random
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call
from torch.utils.checkpoint import get_device_states, set_device_states

from resnorm_lib.residual.read_only import times_written

__all__ = ["recomputed"]


TWICE = "save_memory=True runs each branch a second time, but {} would not do the same again: "
DIFFERS = (
    "save_memory=True computed another input from the output than the stack was given, so that the gradients are "
    "wrong: a branch gives not the same twice, or the blocks lose too many digits on the way back. Use it without."
)
SAMPLE = 256  # numbers of an update, by which its second run is compared with the first


def recomputed(blocks: nn.Module, state: tuple[Tensor, Tensor], context: dict) -> tuple[Tensor, Tensor]:
    """Return the state after the blocks of a stack.

    Raises
    ------
    ValueError
        If a second run of a block would not be the same, or a gradient would be lost.
    """
    _check(blocks, state, context)
    tensors = [tensor for block in blocks for tensor in _tensors(block).values()]
    return _Recomputed.apply(list(blocks), context, *state, *tensors)


def _tensors(block: nn.Module) -> dict[str, Tensor]:
    return dict(block.named_parameters()) | dict(block.named_buffers())


def _check(blocks: nn.Module, state: tuple[Tensor, Tensor], context: dict) -> None:
    if any(block.downsample is not None or block.activation is not None for block in blocks):
        raise ValueError("save_memory=True needs blocks that keep the width and do nothing after the join.")
    for module in blocks.modules():
        if module.training and getattr(module, "running_mean", None) is not None:
            raise ValueError(TWICE.format(module) + "use it without, or with a norm that keeps no running statistics.")
    if any(isinstance(value, torch.Generator) for module in blocks.modules() for value in vars(module).values()):
        raise ValueError(TWICE.format("one") + "a generator of its own goes on. Use torch's default one.")
    if any(leaf.requires_grad for leaf in _leaves(context)):
        raise ValueError("save_memory=True sends no gradient to what the branches read besides the stream (a memory).")
    if any(hasattr(parameter, "to_local") for parameter in blocks.parameters()):
        raise ValueError("save_memory=True needs whole parameters, but these are sharded: use torch's checkpointing.")
    if state[0].is_cuda and torch.cuda.is_current_stream_capturing():
        raise ValueError("save_memory=True keeps the random states, which a CUDA graph cannot: capture without it.")


def _leaves(tree: object) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [leaf for item in items for leaf in _leaves(item)]


class _Recomputed(torch.autograd.Function):
    """Run the blocks and keep the first and the last state; the backward pass recomputes the others."""

    @staticmethod
    def forward(
        ctx: Any, blocks: list[nn.Module], context: dict, a: Tensor, b: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.blocks, ctx.context, ctx.random, ctx.samples = blocks, context, [], []
        kind = a.device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        buffers = [buffer for block in blocks for buffer in block.buffers()]
        before, state = (*times_written(*buffers), *_other_states()), (a, b)
        for block in blocks:
            ctx.random.append((torch.get_rng_state(), *get_device_states(a)))
            _, update = block((torch.zeros_like(state[0]), state[1]), **context)
            state = (state[1], state[0] + update)
            ctx.samples.append(_sample(update))
        if (*times_written(*buffers), *_other_states()) != before:
            why = "it writes into a buffer, or draws from Python's or NumPy's random numbers."
            raise ValueError(TWICE.format("one") + why)
        ctx.save_for_backward(a, b, *state, *tensors)
        return tuple(stream.clone() for stream in state)  # an output may not be one of the inputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_p: Tensor, grad_q: Tensor) -> tuple[Tensor | None, ...]:
        a, b, p, q, *tensors = ctx.saved_tensors
        largest, grads, apart = _largest(a, b, p, q), [], []
        for block, numbers, sample in zip(*map(reversed, (ctx.blocks, ctx.random, ctx.samples))):
            names = list(_tensors(block))
            start = len(tensors) - len(names)
            own, tensors = dict(zip(names, tensors[start:])), tensors[:start]
            update, (grad_read, *of_own) = _again(ctx, block, numbers, own, p, grad_q)
            apart.append(_apart(sample, _sample(update), _largest(sample)))
            grads = [*(of_own.pop(0) if own[name].requires_grad else None for name in names), *grads]
            p, q = q - update, p
            grad_p, grad_q = grad_q, grad_p + grad_read
        apart += [_apart(a, p, largest), _apart(b, q, largest)]
        if bool(torch.stack(apart).any()):  # asked once: an answer of a GPU has to be waited for
            raise ValueError(DIFFERS)
        return None, None, grad_p, grad_q, *grads


def _other_states() -> tuple:
    """Return the states of the random numbers that torch does not draw."""
    numpy = sys.modules.get("numpy")
    return random.getstate(), numpy and [part.tobytes() if hasattr(part, "tobytes") else part for part in
                                         numpy.random.get_state()]  # fmt: skip


def _sample(update: Tensor) -> Tensor:
    """Return some numbers of an update, from all over it."""
    flat = update.detach().flatten()
    return flat[:: max(1, len(flat) // SAMPLE)].clone()


def _again(ctx: Any, block: nn.Module, numbers: tuple, own: dict[str, Tensor], p: Tensor, grad: Tensor) -> tuple:
    """Return what a block adds, and the gradients of what it reads and of its own parameters."""
    cpu, devices, states = numbers
    kind, *_ = ctx.autocast
    read = p.detach().requires_grad_()
    with torch.random.fork_rng(devices, device_type=p.device.type), torch.enable_grad(), torch.autocast(*ctx.autocast):
        torch.set_rng_state(cpu)
        set_device_states(devices, states, device_type=kind)
        state = (torch.zeros_like(p), read)  # so that the block gives back its update alone
        update = functional_call(block, own, (state,), ctx.context)[1]
    wanted = [tensor for tensor in own.values() if tensor.requires_grad]
    # Edges, because hooks of saved tensors (checkpoints, save_on_cpu) give back other tensors on the same edges.
    if _leads_elsewhere(update, {tuple(get_gradient_edge(tensor)[:2]) for tensor in (read, *wanted)}):
        raise ValueError("save_memory=True sends no gradient to a parameter that a branch uses without holding it.")
    return update.detach(), torch.autograd.grad(update, (read, *wanted), grad, allow_unused=True)


def _leads_elsewhere(update: Tensor, known: set[tuple]) -> bool:
    """Return whether autograd would reach a leaf from a tensor without passing one of the known edges."""
    seen, todo = set(known), [(update.grad_fn, update.output_nr)]
    while todo:
        node, number = todo.pop()
        if node is not None and (node, number) not in seen:
            if hasattr(node, "variable"):
                return True
            seen.add((node, number))
            todo += node.next_functions
    return False


def _largest(*streams: Tensor) -> Tensor:
    """Return the largest magnitude of several tensors, 0 if they are empty."""
    return torch.stack([stream.abs().max() if stream.numel() else stream.sum() for stream in streams]).max()


def _apart(first: Tensor, again: Tensor, largest: Tensor) -> Tensor:
    """Return whether two runs of a branch differ, beside the largest number, by more than rounding makes of it."""
    return (first - again).abs().gt(torch.finfo(first.dtype).eps ** 0.5 * largest).any()
