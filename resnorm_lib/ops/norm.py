"""LayerNorm and RMSNorm of the last axis: one registered operation for both, and one backward for it and add + norm."""

import torch
from torch import Tensor
from torch.library import triton_op

from resnorm_lib._arguments import flag, number
from resnorm_lib.ops import norm_launch
from resnorm_lib.ops.dispatch import runs_kernel, uses_kernels
from resnorm_lib.ops.norm_torch import branch_gradient, normalize, normalize_backward, wide_dtype

__all__ = ["layer_norm", "rms_norm"]


def layer_norm(x, weight=None, bias=None, eps=1e-5, zero_centered=False):
    r"""Normalize each row of ``x`` over its last axis.

    .. math:: y = w \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b

    The kernel reads x once and writes y once: 2 MN numbers for M rows of N. Its backward pass reads x and dy and writes
    dx: 3 MN, with the gradients of the parameters from the same read. Statistics are kept in float32 (float64 for
    float64); y has the dtype of x, under autocast too. Which version runs: :class:`resnorm_lib.ops.kernels`.

    Parameters
    ----------
    x : floating point tensor, shape (..., N)
        Rows may be strided.
    weight, bias : tensor, shape (N,), optional
        Gain and offset, of any floating point dtype.
    eps : float
        Inside the root.
    zero_centered : bool
        The gain is 1 + weight, formed in float32.

    Returns
    -------
    y : tensor of the shape and dtype of x.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Ba, Kiros and Hinton (2016), arXiv:1607.06450.

    Examples
    --------
    >>> layer_norm(torch.tensor([[1.0, 2.0, 3.0]])).round(decimals=3)
    tensor([[-1.2250,  0.0000,  1.2250]])
    """
    check_rows(x, weight, bias, zero_centered)
    return normalize_rows(x, x.shape[-1:], weight, bias, number("eps", eps, at_least=0), False, zero_centered)


def rms_norm(x, weight=None, eps=None, zero_centered=False):
    r"""Divide each row of ``x`` by its root mean square over the last axis.

    .. math:: y = w \odot \frac{x}{\sqrt{\frac1N \sum_i x_i^2 + \varepsilon}}

    Everything else is as for :func:`layer_norm`.

    Parameters
    ----------
    x : floating point tensor, shape (..., N)
    weight : tensor, shape (N,), optional
    eps : float, optional
        The machine epsilon of the dtype of the statistics when left out, as in torch.
    zero_centered : bool
        The gain is 1 + weight.

    Returns
    -------
    y : tensor of the shape and dtype of x.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Zhang and Sennrich (2019), arXiv:1910.07467.

    Examples
    --------
    >>> rms_norm(torch.tensor([[1.0, 2.0, 2.0]])).round(decimals=3)
    tensor([[0.5770, 1.1550, 1.1550]])
    """
    check_rows(x, weight, None, zero_centered)
    eps = None if eps is None else number("eps", eps, at_least=0)
    return normalize_rows(x, x.shape[-1:], weight, None, eps, True, zero_centered)


def check_rows(x, weight, bias, zero_centered):
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() == 0 or x.shape[-1] == 0:
        what = f"shape {tuple(x.shape)} and {x.dtype}" if isinstance(x, Tensor) else f"the value {x!r}"
        raise ValueError(f"x has {what}, but it must be a floating point tensor (..., N) with N at least 1.")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and (p.shape != x.shape[-1:] or not p.is_floating_point() or p.device != x.device):
            raise ValueError(
                f"{name} has shape {tuple(p.shape)}, {p.dtype} and lies on {p.device}, "
                f"but it must be a floating point tensor ({x.shape[-1]},) on {x.device}."
            )
    flag("zero_centered", zero_centered)


def as_eps(eps, x):
    return torch.finfo(wide_dtype(x)).eps if eps is None else eps


def normalize_rows(x, shape, weight, bias, eps, rms, zero_centered):
    """The last axes of x, of this shape, which the caller has checked: the kernel, or torch's own operation."""
    if uses_kernels(x):
        last = x if len(shape) == 1 else x.flatten(-len(shape))
        weight, bias = (p if p is None else p.flatten() for p in (weight, bias))
        return torch.ops.resnorm.norm(last, weight, bias, as_eps(eps, x), rms, zero_centered)[0].view(x.shape)
    if weight is None and bias is None:
        return _torch_norm(x, shape, None, None, eps, rms)
    if not zero_centered and all(p is None or p.dtype == x.dtype for p in (weight, bias)):
        return _torch_norm(x, shape, weight, bias, eps, rms)
    # 1 + w must not round w away, and torch leaves its fused kernels, or refuses, where dtypes differ.
    wide = torch.promote_types(torch.promote_types(x.dtype, (bias if weight is None else weight).dtype), torch.float32)
    weight, bias = (p if p is None else p.to(wide) for p in (weight, bias))
    weight = 1 + weight if zero_centered and weight is not None else weight
    return _torch_norm(x.to(wide), shape, weight, bias, eps, rms).to(x.dtype)


def _torch_norm(x, shape, weight, bias, eps, rms):
    return torch.rms_norm(x, shape, weight, eps) if rms else torch.layer_norm(x, shape, weight, bias, eps)


@triton_op("resnorm::norm", mutates_args=())
def norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rms: bool, zero_centered: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the means (empty for RMSNorm) and one over the root."""
    if runs_kernel(x):
        y, _, mean, rstd = norm_launch.forward(
            x, None, weight, bias, None, None, eps, rms, zero_centered, 0.0, False, False
        )
    else:
        y, mean, rstd = normalize(x, weight, bias, eps, rms, zero_centered, x.dtype)
        y, mean, rstd = y.contiguous(), None if rms else mean.flatten(), rstd.flatten()
    return y, rstd.new_empty(0) if rms else mean, rstd


@norm.register_fake
def _(x, weight, bias, eps, rms, zero_centered):
    return fake_outputs(x, rms)


def fake_outputs(x, rms):
    rows = x.numel() // x.shape[-1]
    mean, rstd = (x.new_empty(size, dtype=wide_dtype(x)) for size in (0 if rms else rows, rows))
    return x.new_empty(x.shape), mean, rstd


@triton_op("resnorm::norm_backward", mutates_args=())
def norm_backward(
    dy: Tensor,
    ds: Tensor | None,
    s: Tensor,
    mean: Tensor | None,
    rstd: Tensor,
    weight: Tensor | None,
    row_scale: Tensor | None,
    seed: Tensor | None,
    zero_centered: bool,
    dropout_p: float,
    x_dtype: torch.dtype,
    residual_dtype: torch.dtype | None,
    parameter_dtype: torch.dtype,
    wants_weight: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dx, dr, dw and db; empty where not wanted. Without ``residual_dtype``, dr is dx, or there is none."""
    dtypes, wanted = (x_dtype, residual_dtype, parameter_dtype), (wants_weight, wants_bias)
    if runs_kernel(s):
        grads = norm_launch.backward(
            dy, ds, s, mean, rstd, weight, row_scale, seed, zero_centered, dropout_p, dtypes, wanted
        )
    else:
        column = (*s.shape[:-1], 1)
        mean, rstd = None if mean is None else mean.view(column), rstd.view(column)
        total, dw, db = normalize_backward(dy, s, mean, rstd, weight, zero_centered)
        total = total if ds is None else total + ds
        dx = branch_gradient(total, row_scale, seed, dropout_p).to(x_dtype, copy=True).contiguous()
        dr = None if residual_dtype is None else total.to(residual_dtype, copy=True).contiguous()
        grads = (dx, dr, *(p.to(parameter_dtype) if w else None for p, w in zip((dw, db), wanted)))
    return tuple(s.new_empty(0) if grad is None else grad for grad in grads)


@norm_backward.register_fake
def _(dy, ds, s, mean, rstd, weight, row_scale, seed, zero_centered, dropout_p, x_dtype, residual_dtype,
      parameter_dtype, wants_weight, wants_bias):  # fmt: skip
    dr = s.new_empty(0) if residual_dtype is None else s.new_empty(s.shape, dtype=residual_dtype)
    parameters = (
        s.new_empty(s.shape[-1:], dtype=parameter_dtype) if wanted else s.new_empty(0)
        for wanted in (wants_weight, wants_bias)
    )
    return s.new_empty(s.shape, dtype=x_dtype), dr, *parameters


def parameter_gradients(dw, db, weight, bias):
    """The gradients as autograd wants them: in the dtype of the parameter, None for what is not there."""
    return (None if p is None or not g.numel() else g.to(p.dtype) for g, p in ((dw, weight), (db, bias)))


def differentiable(function, dys, *inputs):
    """Gradients of ``function(*inputs)`` that can be differentiated again, None for an input that needs none.

    The statistics are computed anew: to a second derivative those of the forward pass would be constants, and it
    would be wrong. Each input becomes a view, so that one that depends on another is told from it.
    """
    with torch.enable_grad():
        views = [x if x is None else x.view_as(x) for x in inputs]
        needed = [x for x in views if x is not None and x.requires_grad]
        grads = iter(torch.autograd.grad(function(*views), needed, dys, create_graph=True, allow_unused=True))
    return [next(grads) if x is not None and x.requires_grad else None for x in views]


def _setup(ctx, inputs, output):
    x, weight, bias, ctx.eps, ctx.rms, ctx.zero_centered = inputs
    _, mean, rstd = output
    ctx.save_for_backward(x, weight, bias, mean, rstd)
    ctx.mark_non_differentiable(mean, rstd)


def _backward(ctx, dy, dmean, drstd):
    x, weight, bias, mean, rstd = ctx.saved_tensors
    if torch.is_grad_enabled():

        def again(x, weight, bias):
            return normalize(x, weight, bias, ctx.eps, ctx.rms, ctx.zero_centered, x.dtype)[0]

        return *differentiable(again, dy, x, weight, bias), None, None, None
    dtype = (x if weight is None and bias is None else bias if weight is None else weight).dtype
    dx, _, dw, db = torch.ops.resnorm.norm_backward(
        dy, None, x, None if ctx.rms else mean, rstd, weight, None, None, ctx.zero_centered, 0.0,
        x.dtype, None, dtype, *ctx.needs_input_grad[1:3],
    )  # fmt: skip
    return dx, *parameter_gradients(dw, db, weight, bias), None, None, None


norm.register_autograd(_backward, setup_context=_setup)
