"""DynamicTanh, Derf and the scaled residual add, as functions: every entry by itself, no statistics."""

import torch
from torch import Tensor

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.ops._checks import check_same_shape, check_shapes, describe, is_floating
from resnorm_lib.ops.dispatch import is_eager, uses_kernels
from resnorm_lib.ops.elementwise import eager, torch_version

__all__ = ["derf", "dyt", "scaled_add"]


def dyt(x: Tensor, alpha: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    r"""Dynamic tanh.

    .. math:: y = w \odot \tanh(\alpha x) + b

    The kernel reads x once and writes y once; its backward pass reads x and dy, writes dx, and sums the gradients of
    the parameters on the way. All is computed in float32 (float64 for float64); y has the dtype of x, under autocast
    too. Which version runs: :class:`resnorm_lib.ops.kernels`.

    Parameters
    ----------
    x : floating point tensor, shape (..., \*D)
    alpha : tensor of one number
    weight, bias : tensor, shape D, optional
        Gain and bias, of any floating point dtype.

    Returns
    -------
    y : tensor of the shape and dtype of x.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Zhu, Chen, He, LeCun and Liu (2025), arXiv:2503.10622.

    Examples
    --------
    >>> dyt(torch.tensor([-100.0, 1.0, 100.0]), torch.tensor(0.5)).round(decimals=3)
    tensor([-1.0000,  0.4620,  1.0000])
    """
    _check(x, alpha, weight, bias)
    return tanh_or_erf(x, alpha, None, weight, bias)


def derf(x: Tensor, alpha: Tensor, shift: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    r"""Dynamic erf.

    .. math:: y = w \odot \operatorname{erf}(\alpha x + s) + b

    Everything else is as for :func:`dyt`.

    Parameters
    ----------
    x : floating point tensor, shape (..., \*D)
    alpha, shift : tensors of one number
    weight, bias : tensor, shape D, optional

    Returns
    -------
    y : tensor of the shape and dtype of x.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Chen, Lu, Zhu, Sun and Liu (2025), arXiv:2512.10938.

    Examples
    --------
    >>> derf(torch.tensor([-100.0, 1.0, 100.0]), torch.tensor(0.5), torch.tensor(0.0)).round(decimals=3)
    tensor([-1.0000,  0.5200,  1.0000])
    """
    _check(x, alpha, weight, bias)
    _check_number("shift", shift, x)
    return tanh_or_erf(x, alpha, shift, weight, bias)


def scaled_add(residual: Tensor, x: Tensor, scale: float) -> Tensor:
    r"""Add a scaled branch to the stream, as the 1/sqrt(L) of a deep stack asks for.

    .. math:: y = r + c\,x

    On a GPU this is :func:`torch.add` with its ``alpha``: two reads and a write, also where a branch of 16 bits joins
    a stream in float32.

    Parameters
    ----------
    residual : floating point tensor
    x : tensor of the same shape
    scale : float

    Returns
    -------
    y : tensor of the shape of both, and of the wider dtype.

    Raises
    ------
    ValueError
        If the shapes differ (an add never broadcasts), or another argument does not fit.

    Examples
    --------
    >>> scaled_add(torch.ones(2), torch.ones(2), 0.5)
    tensor([1.5000, 1.5000])
    """
    _check_floating("x", x)
    check_same_shape(x, residual)
    scale = number("scale", scale)
    if residual.is_cuda:
        return torch.add(residual, x, alpha=scale)
    return (residual + scale * upcast(x)).to(torch.promote_types(residual.dtype, x.dtype))  # rounded once, at the end


def _check_floating(name: str, x: object) -> None:
    if not is_floating(x):
        raise ValueError(f"{name} {describe(x)}, but it must be a floating point tensor.")


def _check_number(name: str, value: object, x: Tensor) -> None:
    if not is_floating(value) or value.numel() != 1 or value.device != x.device:
        raise ValueError(
            f"{name} {describe(value)}, but it must be a floating point tensor of one number on {x.device}."
        )


def _check(x: Tensor, alpha: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    _check_floating("x", x)
    _check_number("alpha", alpha, x)
    for name, p in (("weight", weight), ("bias", bias)):
        if p is None:
            continue
        fits = is_floating(p) and p.dim() and p.shape == x.shape[x.dim() - p.dim() :] and p.numel()
        if not fits or p.device != x.device:
            raise ValueError(
                f"{name} {describe(p)}, but it must be a floating point tensor on {x.device} whose shape is that of "
                f"the last axes of x, which has {tuple(x.shape)}."
            )
    if weight is not None and bias is not None and weight.shape != bias.shape:
        raise ValueError(f"weight has shape {tuple(weight.shape)}, but bias has {tuple(bias.shape)}.")


def _fits_kernel(x: Tensor, *parameters: Tensor | None) -> bool:
    """Return whether no parameter is wider than the kernel computes: in float32, unless x has float64."""
    return x.dtype == torch.float64 or all(p is None or p.dtype != torch.float64 for p in parameters)


def tanh_or_erf(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return tanh, or with a ``shift`` erf, by the Triton kernel or by torch. Arguments are already validated."""
    if x.dim() and uses_kernels(x) and _fits_kernel(x, alpha, shift, weight, bias):
        if alpha.numel() != 1:  # a module's may have been replaced
            _check_number("alpha", alpha, x)
        if shift is not None and shift.numel() != 1:
            _check_number("shift", shift, x)
        first = bias if weight is None else weight
        if first is not None:
            check_shapes(x.shape[x.dim() - first.dim() :], weight=weight, bias=bias)
        if is_eager(x, alpha, shift, weight, bias):
            return eager.tanh_or_erf(x, alpha, shift, weight, bias)
        from resnorm_lib.ops.elementwise import registered

        return registered.tanh_or_erf(x, alpha, shift, weight, bias)
    return torch_version.tanh_or_erf(x, alpha, shift, weight, bias)
