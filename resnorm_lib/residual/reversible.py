"""The scheme whose blocks can be inverted, so that activations need not be kept."""

import torch

from resnorm_lib._arguments import flag
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Scheme, identity, residual_add


@named("reversible", r"(b, a + F(N(b)))", "untouched in both streams")
class Reversible(Scheme):
    r"""Two streams that take turns: each block reads one and adds to the other.

    .. math:: (a, b) \leftarrow (b,\; a + F(N(b))), \qquad \text{inverse: } (p, q) \mapsto (q - F(N(p)),\; p)

    Gomez et al. (2017), arXiv:1707.04585; both streams start as the input, as in Kitaev et al. (2020),
    arXiv:2001.04451, and their mean leaves the stack. Identity path: untouched in both. Start: nothing required.
    Use it where memory is short: with ``save_memory`` activations do not grow with depth, at the price of one more
    forward pass.

    Parameters
    ----------
    save_memory : bool, default False
        Recompute the activations in the backward pass from the stack's output. The branches must give the same twice:
        active dropout and running statistics raise. Gradients of gradients raise too.
    """

    carries_state = True

    def __init__(self, dim, norm, position, *, save_memory=False):
        super().__init__(dim, norm, position)
        self.save_memory = flag("save_memory", save_memory)

    def open(self, x):
        return x, x

    def forward(self, state, branch, shortcut=identity):
        a, b = map(shortcut, state)
        return b, residual_add(a, branch(self.norm(state[1])))

    def close(self, state):
        return (state[0] + state[1]) / 2

    def invert(self, state, branch):
        """Return the state before the block from the state after it."""
        return residual_add(state[1], -branch(self.norm(state[0]))), state[0]

    def run(self, blocks, state, context):
        # a compiler decides by itself what to recompute
        if not self.save_memory or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().run(blocks, state, context)
        _must_be_repeatable(blocks, context)
        return _Recomputed.apply(list(blocks), context, *state, *blocks.parameters())


def _must_be_repeatable(blocks, context):
    if any(block.downsample is not None or block.activation is not None for block in blocks):
        raise ValueError("save_memory=True needs blocks that keep the width and do nothing after the join.")
    for module in blocks.modules():
        drops = isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0
        if module.training and (drops or getattr(module, "running_mean", None) is not None):
            raise ValueError(
                f"save_memory=True runs each branch a second time, but {module} would not do the same again: "
                "use it without, or with a norm that keeps no running statistics and dropout 0."
            )
    if any(isinstance(value, torch.Tensor) and value.requires_grad for value in context.values()):
        raise ValueError("save_memory=True sends no gradient to what the branches read besides the stream (a memory).")


class _Recomputed(torch.autograd.Function):
    """Run the blocks and keep only the last state; the backward pass recomputes the others."""

    @staticmethod
    def forward(ctx, blocks, context, a, b, *parameters):
        ctx.blocks, ctx.context = blocks, context
        kind = a.device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        state = (a, b)
        for block in blocks:
            state = block(state, **context)
        ctx.save_for_backward(*state)
        return tuple(stream.clone() for stream in state)  # an output may not be one of the inputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_p, grad_q):
        p, q = ctx.saved_tensors
        total = dict.fromkeys(parameter for block in ctx.blocks for parameter in block.parameters())
        for block in reversed(ctx.blocks):
            own = [parameter for parameter in block.parameters() if parameter.requires_grad]
            with torch.enable_grad(), torch.autocast(*ctx.autocast):
                read = p.detach().requires_grad_()
                update = block.branch(block.scheme.norm(read), **ctx.context)
            grad_read, *grads = torch.autograd.grad(update, (read, *own), grad_q, allow_unused=True)
            for parameter, grad in zip(own, grads):
                if grad is not None:
                    total[parameter] = grad if total[parameter] is None else total[parameter] + grad
            p, q = q - update.detach(), p
            grad_p, grad_q = grad_q, grad_p + grad_read
        return None, None, grad_p, grad_q, *total.values()
