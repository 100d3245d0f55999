"""Scale normalization (Nguyen and Salazar, 2019, arXiv:1910.05895)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, check_gradient


def scale_norm_forward(x: ArrayLike, scale: float | None = None, eps: float = 1e-5) -> tuple[ndarray, tuple]:
    r"""Scale each row of ``x`` to the length ``scale``.

    .. math:: \ell = \max(\lVert x \rVert, \varepsilon), \qquad u = \frac{x}{\ell}, \qquad y = g\,u

    Parameters
    ----------
    x : array, shape (..., d)
    scale : float, optional
        The length g; the square root of d when left out.
    eps : float
        The smallest length to divide by.

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`scale_norm_backward`.

    Examples
    --------
    >>> y, _ = scale_norm_forward([[3.0, 4.0]], scale=10.0)
    >>> y
    array([[6., 8.]])
    """
    x = np.atleast_1d(as_float64("x", x))
    scale = x.shape[-1] ** 0.5 if scale is None else float(scale)
    length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    divisor = np.maximum(length, eps)
    u = x / divisor
    return scale * u, (u, divisor, length >= eps, scale)


def scale_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, float]:
    r"""Gradients of :func:`scale_norm_forward`.

    .. math::

        dx = \frac{g}{\ell}\left(dy - u\,\langle u, dy \rangle\right), \qquad
        dg = \sum_{\text{rows}} \langle u, dy \rangle

    The subtracted term is the projection of dy on the row. A row shorter than eps is divided by the constant eps, and
    its gradient is :math:`dx = g\,dy / \varepsilon`.

    Parameters
    ----------
    dy : array, shape (..., d)

    Returns
    -------
    dx : array of the shape of ``x``, and dscale, a number.
    """
    u, divisor, measured, scale = cache
    dy = check_gradient(dy, u.shape)
    along = (u * dy).sum(axis=-1, keepdims=True)
    return scale / divisor * (dy - np.where(measured, u * along, 0.0)), along.sum()
