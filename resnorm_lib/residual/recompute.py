"""A stack of reversible blocks whose backward pass recomputes each state from the next one, so that none is kept."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.utils.checkpoint import get_device_states, set_device_states

__all__ = ["recomputed"]


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
            raise ValueError(
                f"save_memory=True runs each branch a second time, but {module} would not do the same again: "
                "use it without, or with a norm that keeps no running statistics."
            )
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
    def forward(ctx, blocks, context, a, b, *tensors):
        ctx.blocks, ctx.context, ctx.random = blocks, context, []
        kind = a.device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        state = (a, b)
        for block in blocks:
            ctx.random.append((torch.get_rng_state(), *get_device_states(a)))
            state = block(state, **context)
        ctx.save_for_backward(a, b, *state, *tensors)
        return tuple(stream.clone() for stream in state)  # an output may not be one of the inputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_p, grad_q):
        a, b, p, q, *tensors = ctx.saved_tensors
        largest, grads = torch.stack([stream.abs().max() for stream in (a, b, p, q) if stream.numel()] or [p.sum()]), []
        for block, random in zip(reversed(ctx.blocks), reversed(ctx.random)):
            names = list(_tensors(block))
            start = len(tensors) - len(names)
            own, tensors = dict(zip(names, tensors[start:])), tensors[:start]
            update, (grad_read, *of_own) = _again(ctx, block, random, own, p, grad_q)
            grads = [*(of_own.pop(0) if own[name].requires_grad else None for name in names), *grads]
            p, q = q - update, p
            grad_p, grad_q = grad_q, grad_p + grad_read
        _check_start((a, b), (p, q), largest.max())
        return None, None, grad_p, grad_q, *grads


def _again(ctx: Any, block: nn.Module, random: tuple, own: dict[str, Tensor], p: Tensor, grad: Tensor) -> tuple:
    """Return what a block adds, and the gradients of what it reads and of its own parameters."""
    cpu, devices, states = random
    kind, *_ = ctx.autocast
    read = p.detach().requires_grad_()
    with torch.random.fork_rng(devices, device_type=p.device.type), torch.enable_grad(), torch.autocast(*ctx.autocast):
        torch.set_rng_state(cpu)
        set_device_states(devices, states, device_type=kind)
        state = (torch.zeros_like(p), read)  # so that the block gives back its update alone
        update = functional_call(block, own, (state,), ctx.context)[1]
    wanted = [tensor for tensor in own.values() if tensor.requires_grad]
    return update.detach(), torch.autograd.grad(update, (read, *wanted), grad, allow_unused=True)


def _check_start(start: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], largest: Tensor) -> None:
    """Raise if the way back did not end where the way there began: then the gradients are wrong."""
    bound = torch.finfo(start[0].dtype).eps ** 0.5 * largest
    if any(bool((one - other).abs().gt(bound).any()) for one, other in zip(start, found)):
        raise ValueError(
            "save_memory=True computed another input from the output than the stack was given, so that the gradients "
            "are wrong: a branch gives not the same twice (a generator of its own, a state), or the blocks lose too "
            "many digits on the way back. Use it without."
        )
