"""DynamicTanh, Derf and the scaled residual add: every entry by itself, no statistics."""

import torch
from torch import Tensor

from resnorm_lib._arguments import number
from resnorm_lib.ops.dispatch import kernels, uses_kernels
from resnorm_lib.ops.elementwise.torch_version import squash_torch

__all__ = ["derf", "dyt", "scaled_add"]


def dyt(x, alpha, weight=None, bias=None):
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
        Gain and offset, of any floating point dtype.

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
    return squash(x, alpha, None, weight, bias)


def derf(x, alpha, shift, weight=None, bias=None):
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
    return squash(x, alpha, shift, weight, bias)


def scaled_add(residual, x, scale):
    r"""Add a scaled branch to the stream, as the 1/sqrt(L) of a deep stack asks for.

    .. math:: y = r + c\,x

    One pass: two reads and a write. On a GPU, ``"auto"`` calls :func:`torch.add` with its ``alpha``, one pass as
    well, when both dtypes are equal, and the kernel when a branch of 16 bits joins a stream in float32.

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
    _check_floating("residual", residual)
    _check_floating("x", x)
    if x.shape != residual.shape or x.device != residual.device:
        raise ValueError(
            f"x has shape {tuple(x.shape)} on {x.device}, but residual has {tuple(residual.shape)} on "
            f"{residual.device}: a residual add never broadcasts."
        )
    scale = number("scale", scale)
    widens = torch.promote_types(x.dtype, residual.dtype) != residual.dtype
    if not widens and uses_kernels(residual) and (x.dtype != residual.dtype or kernels.mode() == "on"):
        return _registered().scaled_add(residual, x, scale)
    if residual.is_cuda and x.dtype == residual.dtype:
        return torch.add(residual, x, alpha=scale)
    return residual + scale * x


def _registered():
    import resnorm_lib.ops.elementwise.registered  # noqa: F401

    return torch.ops.resnorm


def _check_floating(name, x):
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = f"dtype {x.dtype}" if isinstance(x, Tensor) else f"the value {x!r}"
        raise ValueError(f"{name} has {what}, but it must be a floating point tensor.")


def _check_number(name, value, x):
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point() or value.device != x.device:
        what = f"shape {tuple(value.shape)} and {value.dtype}" if isinstance(value, Tensor) else f"the value {value!r}"
        raise ValueError(f"{name} has {what}, but it must be a floating point tensor of one number, where x is.")


def _check(x, alpha, weight, bias):
    _check_floating("x", x)
    _check_number("alpha", alpha, x)
    for name, p in (("weight", weight), ("bias", bias)):
        if p is None:
            continue
        fits = p.dim() and p.shape == x.shape[x.dim() - p.dim() :] and p.numel()
        if not fits or not p.is_floating_point() or p.device != x.device:
            raise ValueError(
                f"{name} has shape {tuple(p.shape)}, {p.dtype} and lies on {p.device}, but it must be a floating point "
                f"tensor on {x.device} whose shape is that of the last axes of x, which has {tuple(x.shape)}."
            )
    if weight is not None and bias is not None and weight.shape != bias.shape:
        raise ValueError(f"weight has shape {tuple(weight.shape)}, but bias has {tuple(bias.shape)}.")


def _fits_kernel(x, *parameters):
    """The kernel computes in float32 unless x has float64; torch takes the widest dtype of all."""
    return x.dtype == torch.float64 or all(p is None or p.dtype != torch.float64 for p in parameters)


def squash(x, alpha, shift, weight, bias):
    """What the caller has checked: tanh, or with a shift erf, by the kernel or by torch."""
    if x.dim() and uses_kernels(x) and _fits_kernel(x, alpha, shift, weight, bias):
        return _registered().squash(x, alpha, shift, weight, bias)
    return squash_torch(x, alpha, shift, weight, bias)
