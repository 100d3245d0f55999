"""A residual add with the norm after it in one kernel, where that gives what the two give one after the other.

It asks for a norm of the last axis that is LayerNorm or RMSNorm, a stream and a branch of one dtype, and no hook on
what would no longer be called. On a CPU nothing is fused.
"""

from itertools import pairwise

from torch.nn.modules import module as torch_module

from resnorm_lib.norms import LayerNorm, RMSNorm
from resnorm_lib.ops.dispatch import uses_kernels
from resnorm_lib.residual.block import Block
from resnorm_lib.residual.scheme import residual_add, same_shape

__all__ = ["add_then_norm", "look_ahead", "may_look_ahead"]

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_bare(module):
    """Whether nobody notices if the module's work is done without calling it."""
    return not any(getattr(module, name) for name in HOOKS) and module._compiled_call_impl is None


def fuses(norm, stream, update):
    """Whether ``norm(stream + update)`` can be one kernel."""
    return (
        uses_kernels(stream)
        and type(norm) in (LayerNorm, RMSNorm)
        and norm.normalized_shape == stream.shape[-1:]
        and update.dtype == stream.dtype
        and is_bare(norm)
        and not torch_module._has_any_global_hook()
    )


def add_then_norm(norm, stream, update):
    """Return ``norm(stream + update)``; the shapes must be equal."""
    same_shape(stream, update)
    if fuses(norm, stream, update):
        return norm.after_add(update, stream, prenorm=False)
    return norm(residual_add(stream, update))


def may_look_ahead(blocks, state, scheme):
    """Whether each block computes the formula of ``scheme``, pre-norm, and nothing else that anyone could see."""
    if not uses_kernels(state) or torch_module._has_any_global_hook():
        return False
    return all(
        type(block).forward is Block.forward
        and block.downsample is None
        and block.activation is None
        and type(block.scheme).forward is scheme.forward
        and is_bare(block)
        and is_bare(block.scheme)
        for block in blocks
    )


def look_ahead(blocks, state, context):
    """Step through pre-norm blocks; each addition is made together with the norm through which the next block reads."""
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
