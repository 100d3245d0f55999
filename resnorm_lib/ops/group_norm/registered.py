"""GroupNorm as an operation of torch: ``resnorm::group_norm``. Imported when it first runs."""

from typing import Any

from torch import Tensor
from torch.library import triton_op

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops.dispatch import runs_kernel
from resnorm_lib.ops.group_norm import launch
from resnorm_lib.ops.group_norm.eager import gradients
from resnorm_lib.ops.group_norm.torch_version import normalize, normalize_backward


@triton_op("resnorm::group_norm", mutates_args=())
def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Return y and the statistics: one over the root of each group of each sample, then the means."""
    if runs_kernel(x):
        return launch.forward(x, num_groups, weight, bias, eps)
    y, statistics = normalize(x, num_groups, weight, bias, eps)
    return as_layout(x, y), statistics


def as_layout(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` in the layout that the kernels give it."""
    return launch.like(x, launch.as_samples(x)[1].channels_last).copy_(y)


@group_norm.register_fake
def _(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    statistics = x.new_empty(2 * len(x) * num_groups, dtype=statistics_dtype(x))
    return launch.like(x, launch.as_samples(x)[1].channels_last), statistics


@triton_op("resnorm::group_norm_backward", mutates_args=())
def group_norm_backward(
    dy: Tensor,
    x: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    num_groups: int,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dx in the dtype of x; dw and db in float32, or float64 for float64, empty where not wanted."""
    wanted = (wants_weight, wants_bias)
    if runs_kernel(x):
        grads = launch.backward(dy, x, statistics, weight, num_groups, wanted)
    else:
        dx, *parameters = normalize_backward(dy, x, statistics, weight, num_groups)
        grads = (as_layout(x, dx), *(p if want else None for p, want in zip(parameters, wanted)))
    return tuple(x.new_empty(0) if grad is None else grad for grad in grads)


@group_norm_backward.register_fake
def _(
    dy: Tensor,
    x: Tensor,
    statistics: Tensor,
    weight: Tensor | None,
    num_groups: int,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, ...]:
    parameters = (
        x.new_empty(x.shape[1], dtype=statistics_dtype(x)) if wanted else x.new_empty(0)
        for wanted in (wants_weight, wants_bias)
    )
    return launch.like(x, launch.as_samples(x)[1].channels_last), *parameters


def through_operation(*inputs: Any) -> tuple[Tensor, ...]:
    """Reach the backward kernel through its registered operation; the last input says which gradients are wanted."""
    return group_norm_backward(*inputs[:-1], *inputs[-1])


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    x, ctx.num_groups, weight, bias, ctx.eps = inputs
    _, statistics = output
    ctx.save_for_backward(x, weight, bias, statistics)
    ctx.mark_non_differentiable(statistics)


def _backward(ctx: Any, dy: Tensor, dstatistics: Tensor) -> tuple[Tensor | None, ...]:
    return gradients(ctx, dy, through_operation)


group_norm.register_autograd(_backward, setup_context=_setup)
