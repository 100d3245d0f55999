"""A residual add and the norm after it as an operation of torch: ``resnorm::add_norm``. Imported when it first runs."""

from typing import Any

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.norm import launch
from resnorm_lib.ops.norm.eager import gradients
from resnorm_lib.ops.norm.registered import fake_statistics, through_operation
from resnorm_lib.ops.norm.torch_version import Settings, normalize


@triton_op("resnorm::add_norm", mutates_args=())
def add_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    rms: bool,
    zero_centered_gain: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, the sum s (empty unless ``keep``) and the statistics, as :func:`.registered.norm` does."""
    settings = Settings(eps, rms, zero_centered_gain)
    if runs_kernel(x):
        y, s, statistics = launch.forward(x, residual, weight, bias, settings, keep)
    else:
        s = (residual + x).contiguous()
        y, statistics = normalize(s, weight, bias, settings, x.dtype)
    return y.contiguous(), s if keep else residual.new_empty(0), statistics


@add_norm.register_fake
def _(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    rms: bool,
    zero_centered_gain: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    s = x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, residual.dtype))
    return x.new_empty(x.shape), s if keep else residual.new_empty(0), fake_statistics(s, rms)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, residual, weight, bias, *settings, keep = inputs
    _, s, statistics = output
    if not keep:
        raise RuntimeError("resnorm::add_norm has not kept the sum that its gradient needs: call it with keep=True.")
    ctx.settings, ctx.dtypes = Settings(*settings), (x.dtype, residual.dtype)
    ctx.save_for_backward(s, weight, bias, statistics)
    ctx.mark_non_differentiable(statistics)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, dy: Tensor | None, ds: Tensor | None, dstatistics: Tensor | None) -> tuple[Tensor | None, ...]:
    return *gradients(ctx, dy, ds, ctx.needs_input_grad[2:4], through_operation), *(None,) * 4


add_norm.register_autograd(_backward, setup_context=_setup)
