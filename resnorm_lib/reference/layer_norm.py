"""Layer normalization (Ba, Kiros and Hinton, 2016, arXiv:1607.06450)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient


def layer_norm_forward(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[ndarray, tuple]:
    r"""Normalize each row of ``x`` over its last axis.

    .. math::

        \mu = \frac1d \sum_i x_i, \qquad
        \sigma = \sqrt{\frac1d \sum_i (x_i - \mu)^2 + \varepsilon}, \qquad
        \hat x = \frac{x - \mu}{\sigma}, \qquad
        y = w \odot \hat x + b

    Parameters
    ----------
    x : array, shape (..., d)
    weight, bias : array, shape (d,), optional
        Gain and bias; 1 and 0 when left out.
    eps : float
        Added to the variance, inside the square root.

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`layer_norm_backward`.

    Raises
    ------
    ValueError
        If ``x`` has no axis, or ``weight`` or ``bias`` is not of shape (d,).

    Examples
    --------
    >>> y, _ = layer_norm_forward([[1.0, 2.0, 3.0]], eps=0.0)
    >>> y.round(3)
    array([[-1.225,  0.   ,  1.225]])
    """
    x = np.atleast_1d(as_float64("x", x))
    d = x.shape[-1]
    weight = as_parameter("weight", weight, d, default=1.0)
    bias = as_parameter("bias", bias, d, default=0.0)
    centred = x - x.mean(axis=-1, keepdims=True)
    sigma = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    x_hat = centred / sigma
    return weight * x_hat + bias, (x_hat, sigma, weight)


def layer_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`layer_norm_forward`.

    With :math:`g = w \odot dy`, and means over the last axis,

    .. math::

        dx = \frac{1}{\sigma}\left(g - \overline{g} - \hat x\,\overline{g \odot \hat x}\right), \qquad
        dw = \sum_{\text{rows}} dy \odot \hat x, \qquad
        db = \sum_{\text{rows}} dy

    The two subtracted terms are the projections of ``g`` on the directions that the forward pass removed: the
    constant one and, up to ``eps``, the row itself.

    Parameters
    ----------
    dy : array, shape (..., d)
        Gradient of the loss with respect to ``y``.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of ``x``, ``weight`` and ``bias``.
    """
    x_hat, sigma, weight = cache
    dy = check_gradient(dy, x_hat.shape)
    rows = tuple(range(dy.ndim - 1))
    g = weight * dy
    dx = (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)) / sigma
    return dx, (dy * x_hat).sum(axis=rows), dy.sum(axis=rows)
