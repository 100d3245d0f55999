"""Fusion of a residual add with the norm that follows it into one kernel, with the same result.

Fusion needs LayerNorm or RMSNorm over the last axis, a stream and a branch of one dtype, and neither a hook nor a
``forward`` of its own on a module that would no longer be called. On a CPU nothing is fused.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from resnorm_lib.norms import LayerNorm, RMSNorm
from resnorm_lib.ops.dispatch import uses_kernels
from resnorm_lib.residual.block import Block
from resnorm_lib.residual.scheme import residual_add, same_shape

__all__ = ["add_then_norm", "look_ahead", "may_look_ahead"]

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

# As they were written: a forward that somebody puts into the class is another one, and is called.
FUSED = {norm: norm.forward for norm in (LayerNorm, RMSNorm)}
BLOCK = Block.forward


def hooks_on_all_modules() -> bool:
    """Return whether somebody has registered a hook that every module calls."""
    return any(getattr(torch_module, f"_global{name}") for name in HOOKS)


def is_bare(module: nn.Module) -> bool:
    """Return whether nobody has put a hook, a compiled call or a method into this one module.

    Then its work may be done without calling it.
    """
    if any(getattr(module, name) for name in HOOKS) or module._compiled_call_impl is not None:
        return False
    return not any(hasattr(type(module), name) for name in vars(module) if callable(vars(module)[name]))


def fuses(norm: nn.Module, stream: Tensor, update: Tensor) -> bool:
    """Return whether ``norm(stream + update)`` can be one kernel."""
    return (
        uses_kernels(stream)
        and FUSED.get(type(norm)) is type(norm).forward
        and norm.normalized_shape == stream.shape[-1:]
        and update.dtype == stream.dtype
        and is_bare(norm)
        and not hooks_on_all_modules()
    )


def add_then_norm(norm: nn.Module, stream: Tensor, update: Tensor) -> Tensor:
    """Return ``norm(stream + update)``; the shapes must be equal."""
    same_shape(stream, update)
    if fuses(norm, stream, update):
        return norm.after_add(update, stream, prenorm=False)
    return norm(residual_add(stream, update))


def may_look_ahead(blocks: Sequence[Block], state: Tensor, formula: Callable) -> bool:
    """Return whether each block's scheme computes ``formula`` (pre-norm's forward), and no hook would miss a call."""
    if not uses_kernels(state) or hooks_on_all_modules():
        return False
    return all(
        type(block).forward is BLOCK
        and block.downsample is None
        and block.activation is None
        and type(block.scheme).forward is formula
        and type(block.scheme.norm) in FUSED
        and is_bare(block)
        and is_bare(block.scheme)
        for block in blocks
    )


def look_ahead(blocks: Sequence[Block], state: Tensor, context: dict) -> Tensor:
    """Step through pre-norm blocks, fusing each addition with the norm of the next block."""
    read = blocks[0].scheme.norm(state)
    for block, following in pairwise(blocks):
        update, norm = block.branch(read, **context), following.scheme.norm
        same_shape(state, update)
        if fuses(norm, state, update):
            read, state = norm.after_add(update, state, prenorm=True)
        else:
            state = residual_add(state, update)
            read = norm(state)
    return residual_add(state, blocks[-1].branch(read, **context))
