"""LayerNorm and RMSNorm of the last axis, as functions."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from resnorm_lib._arguments import flag, number
from resnorm_lib._precision import HALF, statistics_dtype, upcast
from resnorm_lib.ops import dispatch
from resnorm_lib.ops._checks import check_parameter, check_shapes, describe, is_floating, shape_error
from resnorm_lib.ops.norm import torch_version
from resnorm_lib.ops.norm.eager import fused_norm
from resnorm_lib.ops.norm.torch_version import Settings

__all__ = ["layer_norm", "normalize_rows", "rms_norm"]

# Before it had a kernel for it, torch rounded one over the root to 16 bits, and every product after it again.
RMS_ROUNDS_TWICE = not hasattr(torch.ops.aten, "_fused_rms_norm")
EPS_32, EPS_64 = torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps


def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    zero_centered_gain: bool = False,
) -> Tensor:
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
        Gain and bias, of any floating point dtype.
    eps : float
        Inside the root.
    zero_centered_gain : bool
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
    check_rows(x, weight, bias, zero_centered_gain)
    eps = number("eps", eps, at_least=0)
    return _normalize(x, x.shape[-1:], weight, bias, eps, False, zero_centered_gain)


def rms_norm(
    x: Tensor, weight: Tensor | None = None, eps: float | None = None, *, zero_centered_gain: bool = False
) -> Tensor:
    r"""Divide each row of ``x`` by its root mean square over the last axis.

    .. math:: y = w \odot \frac{x}{\sqrt{\frac1N \sum_i x_i^2 + \varepsilon}}

    Everything else is as for :func:`layer_norm`.

    Parameters
    ----------
    x : floating point tensor, shape (..., N)
    weight : tensor, shape (N,), optional
    eps : float, optional
        The machine epsilon of the dtype of the statistics when left out, as in torch.
    zero_centered_gain : bool
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
    check_rows(x, weight, None, zero_centered_gain)
    eps = None if eps is None else number("eps", eps, at_least=0)
    return _normalize(x, x.shape[-1:], weight, None, eps, True, zero_centered_gain)


def check_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, zero_centered_gain: bool) -> None:
    """Raise unless x has rows to normalize and the parameters have the length of a row."""
    if not is_floating(x) or x.dim() == 0 or x.shape[-1] == 0:
        raise ValueError(f"x {describe(x)}, but it must be a floating point tensor (..., N) with N at least 1.")
    hint = ": the last axis of x is always normalized, and no shape is taken"
    check_parameter("weight", weight, x, x.shape[-1], hint)
    check_parameter("bias", bias, x, x.shape[-1], hint)
    flag("zero_centered_gain", zero_centered_gain)


def normalize_rows(
    x: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    *,
    rms: bool,
    zero_centered_gain: bool = False,
) -> Tensor:
    """Return ``x`` normalized over its last axes, for a module whose parameters fit ``normalized_shape``.

    Raises
    ------
    ValueError
        If x is no floating point tensor with these last axes.
    """
    if not isinstance(x, Tensor) or x.shape[-len(normalized_shape) :] != normalized_shape or not x.is_floating_point():
        raise shape_error(x, f"its last axes must be {normalized_shape}")
    if (x.is_cuda or dispatch.chosen == "on") and (
        (weight is not None and weight.shape != normalized_shape)
        or (bias is not None and bias.shape != normalized_shape)
    ):
        check_shapes(normalized_shape, weight=weight, bias=bias)  # says which
    return _normalize(x, normalized_shape, weight, bias, eps, rms, zero_centered_gain)


def _normalize(
    x: Tensor,
    shape: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    rms: bool,
    zero_centered_gain: bool,
) -> Tensor:
    """Normalize the last axes of x by the Triton kernel or by torch. Arguments are already validated."""
    if (x.is_cuda or dispatch.chosen == "on") and dispatch.uses_kernels(x):
        settings = Settings(kernel_eps(eps, x), rms, zero_centered_gain)
        if len(shape) == 1:
            return _kernel(x, weight, bias, settings)
        weight, bias = (p if p is None else p.flatten() for p in (weight, bias))
        return _kernel(x.flatten(-len(shape)), weight, bias, settings).view(x.shape)
    alike = (weight is None or weight.dtype == x.dtype) and (bias is None or bias.dtype == x.dtype)
    if alike and (weight is None or not zero_centered_gain):
        return _torch_norm(x, shape, weight, bias, eps, rms)
    # 1 + w must not round w away, and torch leaves its fused kernels, or refuses, where dtypes differ.
    wide = statistics_dtype(torch.promote_types(x.dtype, (bias if weight is None else weight).dtype))
    weight, bias = (p if p is None else p.to(wide) for p in (weight, bias))
    weight = 1 + weight if zero_centered_gain and weight is not None else weight
    return _torch_norm(x.to(wide), shape, weight, bias, eps, rms).to(x.dtype)


def _kernel(x: Tensor, weight: Tensor | None, bias: Tensor | None, settings: Settings) -> Tensor:
    if dispatch.is_eager(x, weight, bias):
        return fused_norm(x, None, weight, bias, settings)
    from resnorm_lib.ops.norm.registered import norm

    return norm(x, weight, bias, *settings)[0]


def kernel_eps(eps: float | None, x: Tensor) -> float:
    """Return eps as a number: torch's RMSNorm has the machine epsilon of the statistics where none is given."""
    if eps is not None:
        return eps
    return EPS_64 if x.dtype == torch.float64 else EPS_32


def _torch_norm(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float | None, rms: bool
) -> Tensor:
    if rms:  # the eps is named, because torch 2.6 took that of float16 or bfloat16 for such an x: 0.008 under the root
        if RMS_ROUNDS_TWICE and x.dtype in HALF:
            return torch.rms_norm(x.float(), shape, upcast(weight), kernel_eps(eps, x)).to(x.dtype)
        return torch.rms_norm(x, shape, weight, kernel_eps(eps, x))
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:
        return torch.layer_norm(x, shape, weight, bias, eps)
    return torch_version.layer_norm(x, shape, weight, bias, eps)
