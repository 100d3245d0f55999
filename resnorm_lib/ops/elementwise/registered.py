"""DynamicTanh and Derf as an operation of torch: ``resnorm::tanh_or_erf``. Imported when a kernel first runs."""

from typing import Any

from torch import Tensor
from torch.library import triton_op

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.elementwise import launch, torch_version
from resnorm_lib.ops.elementwise.eager import gradients


@triton_op("resnorm::tanh_or_erf", mutates_args=())
def tanh_or_erf(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return w * tanh(alpha * x) + b, or with a ``shift`` s w * erf(alpha * x + s) + b."""
    if runs_kernel(x):
        return launch.forward(x, alpha, shift, weight, bias)
    return torch_version.tanh_or_erf(x, alpha, shift, weight, bias).contiguous()


@tanh_or_erf.register_fake
def _(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape)


@triton_op("resnorm::tanh_or_erf_backward", mutates_args=())
def tanh_or_erf_backward(
    dy: Tensor,
    x: Tensor,
    alpha: Tensor,
    shift: Tensor | None,
    weight: Tensor | None,
    n: int,
    wants_alpha: bool,
    wants_shift: bool,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return dx, and in the dtype of statistics dalpha, dshift, dw and db, each empty where it is not wanted."""
    wanted = (wants_alpha, wants_shift, wants_weight, wants_bias)
    if runs_kernel(x):
        grads = launch.backward(dy, x, alpha, shift, weight, n, wanted)
    else:
        dx, *parameters = torch_version.tanh_or_erf_backward(dy, x, alpha, shift, weight, n)
        grads = (dx.to(x.dtype).contiguous(), *(p if w else None for p, w in zip(parameters, wanted)))
    return tuple(x.new_empty(0) if grad is None else grad for grad in grads)


@tanh_or_erf_backward.register_fake
def _(
    dy: Tensor,
    x: Tensor,
    alpha: Tensor,
    shift: Tensor | None,
    weight: Tensor | None,
    n: int,
    wants_alpha: bool,
    wants_shift: bool,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, ...]:
    sizes = zip((1, 1, n, n), (wants_alpha, wants_shift, wants_weight, wants_bias))
    wide = statistics_dtype(x)
    parameters = (x.new_empty(size, dtype=wide) if wanted else x.new_empty(0) for size, wanted in sizes)
    return x.new_empty(x.shape), *parameters


def through_operation(*inputs: Any) -> tuple[Tensor, ...]:
    """Reach the backward kernel through its registered operation; the last input says which gradients are wanted."""
    return tanh_or_erf_backward(*inputs[:-1], *inputs[-1])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    return gradients(ctx, dy, through_operation)


tanh_or_erf.register_autograd(_backward, setup_context=_setup)
