"""Root mean square layer normalization (Zhang and Sennrich, 2019, arXiv:1910.07467)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient


def rms_norm_forward(x: ArrayLike, weight: ArrayLike | None = None, eps: float | None = None) -> tuple[ndarray, tuple]:
    r"""Divide each row of ``x`` by its root mean square: layer normalization without centring.

    .. math::

        r = \sqrt{\frac1d \sum_i x_i^2 + \varepsilon}, \qquad \hat x = \frac{x}{r}, \qquad y = w \odot \hat x

    Parameters
    ----------
    x : array, shape (..., d)
    weight : array, shape (d,), optional
        Gain; 1 when left out.
    eps : float, optional
        Added to the mean square, inside the square root; when left out, the machine epsilon of float64, as in torch.

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`rms_norm_backward`.

    Raises
    ------
    ValueError
        If ``x`` has no axis, or ``weight`` is not of shape (d,).

    Examples
    --------
    >>> y, _ = rms_norm_forward([[1.0, 2.0, 2.0]], eps=0.0)
    >>> y.round(3)                      # r = sqrt(9 / 3)
    array([[0.577, 1.155, 1.155]])
    """
    x = np.atleast_1d(as_float64("x", x))
    weight = as_parameter("weight", weight, x.shape[-1], default=1.0)
    eps = np.finfo(np.float64).eps if eps is None else eps
    r = np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    x_hat = x / r
    return weight * x_hat, (x_hat, r, weight)


def rms_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray]:
    r"""Gradients of :func:`rms_norm_forward`.

    With :math:`g = w \odot dy`, and means over the last axis,

    .. math::

        dx = \frac{1}{r}\left(g - \hat x\,\overline{g \odot \hat x}\right), \qquad
        dw = \sum_{\text{rows}} dy \odot \hat x

    One projection fewer than layer normalization: the constant direction was never removed.

    Parameters
    ----------
    dy : array, shape (..., d)

    Returns
    -------
    dx, dweight : arrays of the shapes of ``x`` and ``weight``.
    """
    x_hat, r, weight = cache
    dy = check_gradient(dy, x_hat.shape)
    g = weight * dy
    dx = (g - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)) / r
    return dx, (dy * x_hat).sum(axis=tuple(range(dy.ndim - 1)))
