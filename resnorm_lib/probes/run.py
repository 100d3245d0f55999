"""Running a model forward and backward once while it is watched."""

import sys
import warnings
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib.ops.dispatch import kernels
from resnorm_lib.probes.call import Batch, Call, Loss, mean_square
from resnorm_lib.probes.modules import tensors_in
from resnorm_lib.probes.report import Report, make_report
from resnorm_lib.probes.streams import Addition, assemble
from resnorm_lib.probes.untouched import plain_checkpoints, untouched
from resnorm_lib.probes.watch import Watch

__all__ = ["probe"]


def probe(
    model: nn.Module,
    batch: Batch,
    loss: Loss | None = mean_square,
    *,
    sample_axis: int = 0,
) -> Report:
    r"""Run the model once, forward and backward, and report by depth what happens inside.

    The residual streams are found, not declared: every addition of two tensors is looked at, and is a residual one
    if both come from the same value :math:`x`, one of them by a shortcut. A shortcut mixes no features (it may
    scale, gate, cast, pool, pad or normalize), or does so once, as a projection, where the branch does so more
    often. A branch also counts that mixes tokens alone (pooling, a Fourier transform) beside an identity shortcut
    or a scaled one, or features on some of its ways (a gate, :math:`x + f(x) \, x`) beside an identity; and it may
    be repeated along an axis. Where a sum may be a residual one and is not counted, ``Report.unfollowed`` says why.
    A product :math:`x \, (1 + f(x))` and an identity within a weight, :math:`x (I + W)`, are no sums. A stream is a
    row of such additions, each of which reads what the one before gave, through norms and activations or directly:

    .. math:: h_\ell = S_\ell(h_{\ell-1}) + F_\ell(h_{\ell-1}), \qquad \ell = 1, \dots, L

    with :math:`h_0` what the first addition's branch reads, and :math:`h_\ell` the output of addition :math:`\ell`,
    here called block :math:`\ell`: a Transformer's layer has two. :class:`resnorm_lib.probes.Point`,
    :class:`resnorm_lib.probes.NormGain` and :class:`resnorm_lib.probes.Units` say what is measured.

    The model is left as it was found: mode, gradients, buffers, hooks, and the states of the random generators, also if
    it raises. It runs in the mode it is in. Statistics are taken when a tensor passes by, and no tensor is kept.
    Parameters get no gradients: only the streams are asked for theirs, which makes the backward pass cheaper than a
    training step's.

    Parameters
    ----------
    model : nn.Module
        Any. Code that torch cannot show call by call (TorchScript, operations written in C) counts as one call. A
        compiled model runs uncompiled. ``module()`` of an exported program has no modules within it:
        ``torch.export.unflatten`` gives it those of the model, and the rows their names.
    batch : tensor, tuple, list or dict
        The input, the arguments, or the keyword arguments of the model. What the loss needs beside the output comes
        from here too: the last parts of a tuple, or those parts of a dict that have the names of its parameters.
    loss : callable or None
        From the output (and the targets, if it must be given any) to one number. By default
        :func:`resnorm_lib.probes.mean_square` of the output. ``None``: no backward pass, as under ``no_grad``.
    sample_axis : int, default 0
        The axis of the inputs and of the streams that counts samples: 1 for a (T, N, d) Transformer.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If an argument does not fit, or the loss gives more or less than one number.

    Examples
    --------
    >>> class Doubled(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.branch = torch.nn.Linear(2, 2, bias=False)
    ...         torch.nn.init.eye_(self.branch.weight)
    ...
    ...     def forward(self, x):
    ...         return x + self.branch(x)
    >>> model = torch.nn.Sequential(Doubled(), Doubled(), Doubled())
    >>> report = probe(model, torch.ones(4, 2, requires_grad=True), loss=torch.sum)
    >>> [point.rms for point in report.streams[0].points]
    [1.0, 2.0, 4.0, 8.0]
    >>> print(report.findings()[0])
    Gradients grow 2x per block on the way back, from block 3 (2) to block 1 (0): see "Why depth is hard"
    (why-depth-is-hard).
    """
    call = Call(model, batch, loss, sample_axis)
    watch = Watch(model, tensors_in(call.args, call.kwargs), call.sample_axis)
    with untouched(model):
        try:
            with uncompiled(), kernels("off"), plain_checkpoints(), watch.watching():  # a fused add shows no addition
                output = model(*call.args, **call.kwargs)
            streams = assemble(watch.additions.found)
            value, missing = backward(call, output, streams)
        finally:
            for hook in watch.additions.hooks:
                hook.remove()
    return make_report(watch, streams, value, missing)


def backward(call: Call, output: Any, streams: list[list[Addition]]) -> tuple[Tensor | None, str]:
    """Return the loss, and why there are no gradients, if there are none."""
    if call.loss is None:
        return None, "loss is None"
    value = call.loss_of(output)
    if not torch.is_grad_enabled():
        return value, "they are switched off (no_grad or inference_mode)"
    if not value.requires_grad:
        return value, "the loss depends on nothing that requires one"
    # The hooks on later additions fire on the way to the earliest one of each stream. Asked for only these, autograd
    # leaves out the gradients of the weights.
    firsts = [next((edge for addition in stream for edge in addition.edges), None) for stream in streams]
    edges = [edge for edge in firsts if edge is not None]
    if not edges and streams:
        return value, "no stream requires one: its layers are frozen, or inside a function with a backward of its own"
    if edges:
        torch.autograd.grad(value.reshape(()), edges, allow_unused=True)
    return value, ""


def uncompiled() -> ExitStack:
    """Run compiled models uncompiled: a compiled call hides the calls inside it."""
    stack = ExitStack()
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        stack.enter_context(torch.compiler.set_stance("force_eager"))
    return stack
