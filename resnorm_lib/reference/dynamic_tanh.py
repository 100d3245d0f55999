"""DynamicTanh (Zhu et al., 2025, arXiv:2503.10622) and Derf (Chen et al., 2025, arXiv:2512.10938)."""

import math

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient

_erf = np.vectorize(math.erf, otypes=[np.float64])


def dynamic_tanh_forward(
    x: ArrayLike, alpha: float = 0.5, weight: ArrayLike | None = None, bias: ArrayLike | None = None
) -> tuple[ndarray, tuple]:
    r"""Apply a scaled tanh to each entry: :math:`t = \tanh(\alpha x)`, :math:`y = w \odot t + b`.

    Parameters
    ----------
    x : array, shape (..., d)
    alpha : float
    weight, bias : array, shape (d,), optional
        Gain and bias; 1 and 0 when left out.

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`dynamic_tanh_backward`.

    Examples
    --------
    >>> y, _ = dynamic_tanh_forward([[-100.0, 1.0, 100.0]])
    >>> y.round(3)
    array([[-1.   ,  0.462,  1.   ]])
    """
    x = np.atleast_1d(as_float64("x", x))
    weight = as_parameter("weight", weight, x.shape[-1], default=1.0)
    bias = as_parameter("bias", bias, x.shape[-1], default=0.0)
    t = np.tanh(float(alpha) * x)
    return weight * t + bias, (x, t, float(alpha), weight)


def dynamic_tanh_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, float, ndarray, ndarray]:
    r"""Gradients of :func:`dynamic_tanh_forward`.

    With :math:`g = w \odot dy \odot (1 - t^2)`,

    .. math::

        dx = \alpha\,g, \qquad d\alpha = \sum g \odot x, \qquad
        dw = \sum_{\text{rows}} dy \odot t, \qquad db = \sum_{\text{rows}} dy

    Parameters
    ----------
    dy : array, shape (..., d)

    Returns
    -------
    dx, dalpha, dweight, dbias
    """
    x, t, alpha, weight = cache
    dy = check_gradient(dy, x.shape)
    rows = tuple(range(dy.ndim - 1))
    g = weight * dy * (1 - t**2)
    return alpha * g, (g * x).sum(), (dy * t).sum(axis=rows), dy.sum(axis=rows)


def derf_forward(
    x: ArrayLike, alpha: float = 0.5, shift: float = 0.0, weight: ArrayLike | None = None, bias: ArrayLike | None = None
) -> tuple[ndarray, tuple]:
    r"""Apply a shifted erf to each entry: :math:`t = \operatorname{erf}(\alpha x + s)`, :math:`y = w \odot t + b`.

    Parameters
    ----------
    x : array, shape (..., d)
    alpha, shift : float
    weight, bias : array, shape (d,), optional
        Gain and bias; 1 and 0 when left out.

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`derf_backward`.

    Examples
    --------
    >>> y, _ = derf_forward([[-100.0, 1.0, 100.0]])
    >>> y.round(3)
    array([[-1.  ,  0.52,  1.  ]])
    """
    x = np.atleast_1d(as_float64("x", x))
    weight = as_parameter("weight", weight, x.shape[-1], default=1.0)
    bias = as_parameter("bias", bias, x.shape[-1], default=0.0)
    z = float(alpha) * x + float(shift)
    t = _erf(z)
    return weight * t + bias, (x, z, t, float(alpha), weight)


def derf_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, float, float, ndarray, ndarray]:
    r"""Gradients of :func:`derf_forward`.

    With :math:`z = \alpha x + s` and :math:`g = w \odot dy \odot \tfrac{2}{\sqrt\pi} e^{-z^2}`,

    .. math::

        dx = \alpha\,g, \qquad d\alpha = \sum g \odot x, \qquad ds = \sum g, \qquad
        dw = \sum_{\text{rows}} dy \odot t, \qquad db = \sum_{\text{rows}} dy

    Parameters
    ----------
    dy : array, shape (..., d)

    Returns
    -------
    dx, dalpha, dshift, dweight, dbias
    """
    x, z, t, alpha, weight = cache
    dy = check_gradient(dy, x.shape)
    rows = tuple(range(dy.ndim - 1))
    g = weight * dy * (2 / math.sqrt(math.pi)) * np.exp(-(z**2))
    return alpha * g, (g * x).sum(), g.sum(), (dy * t).sum(axis=rows), dy.sum(axis=rows)
