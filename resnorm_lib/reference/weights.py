"""Weight normalization (Salimans and Kingma, 2016, arXiv:1602.07868), weight standardization (Qiao et al., 2019)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, check_gradient
from resnorm_lib.reference.layer_norm import layer_norm_backward, layer_norm_forward


def weight_norm_forward(g: ArrayLike, v: ArrayLike) -> tuple[ndarray, tuple]:
    r"""Compute a weight from a length and a direction for each slice along the first axis.

    .. math:: W_i = g_i\,u_i, \qquad u_i = \frac{v_i}{\lVert v_i \rVert}

    Parameters
    ----------
    g : array, shape (out,) or (out, 1, ...)
    v : array, shape (out, ...)

    Returns
    -------
    w : array of the shape of ``v``, and ``cache`` for :func:`weight_norm_backward`.

    Raises
    ------
    ValueError
        If a slice of ``v`` is zero.

    Examples
    --------
    >>> w, _ = weight_norm_forward([10.0], [[3.0, 4.0]])
    >>> w
    array([[6., 8.]])
    """
    v = as_float64("v", v)
    per_slice = (len(v),) + (1,) * (v.ndim - 1)
    length = np.sqrt((v**2).reshape(len(v), -1).sum(axis=1)).reshape(per_slice)
    if not (length > 0).all():
        raise ValueError("v has a slice of zeros, which has no direction.")
    g = as_float64("g", g)
    u = v / length
    return g.reshape(per_slice) * u, (u, length, g)


def weight_norm_backward(dw: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray]:
    r"""Gradients of :func:`weight_norm_forward`.

    .. math:: dg_i = \langle u_i, dw_i \rangle, \qquad dv_i = \frac{g_i}{\lVert v_i \rVert}\,(dw_i - u_i\,dg_i)

    :math:`dv_i` is orthogonal to :math:`v_i`, so a gradient step makes :math:`v_i` longer.

    Parameters
    ----------
    dw : array of the shape of ``v``.

    Returns
    -------
    dg, dv : arrays of the shapes of ``g`` and ``v``.
    """
    u, length, g = cache
    dw = check_gradient(dw, u.shape)
    along = (u * dw).reshape(len(u), -1).sum(axis=1).reshape(length.shape)
    return along.reshape(g.shape), g.reshape(length.shape) / length * (dw - u * along)


def weight_standardization_forward(w: ArrayLike, eps: float = 1e-5) -> tuple[ndarray, tuple]:
    r"""Give the weights of each output channel mean 0 and variance 1 (Qiao et al., arXiv:1903.10520).

    .. math:: \hat W_i = \frac{W_i - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}

    with statistics over all axes but the first: layer normalization of the rows of a weight.

    Parameters
    ----------
    w : array, shape (out, ...)
    eps : float

    Returns
    -------
    array of the shape of ``w``, and ``cache`` for :func:`weight_standardization_backward`.

    Examples
    --------
    >>> w_hat, _ = weight_standardization_forward([[1.0, 3.0], [10.0, 30.0]], eps=0.0)
    >>> w_hat
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    w = as_float64("w", w)
    w_hat, cache = layer_norm_forward(w.reshape(len(w), -1), eps=eps)
    return w_hat.reshape(w.shape), (cache, w.shape)


def weight_standardization_backward(dw: ArrayLike, cache: tuple) -> ndarray:
    r"""Gradient of :func:`weight_standardization_forward`.

    .. math:: dW_i = \frac{1}{\sigma_i}\left(g_i - \overline{g_i} - \hat W_i\,\overline{g_i\,\hat W_i}\right)

    with g the incoming gradient, :math:`\sigma_i` containing eps, and means over all axes but the first.

    Parameters
    ----------
    dw : array of the shape of ``w``.
    """
    layer, shape = cache
    dw = check_gradient(dw, shape)
    return layer_norm_backward(dw.reshape(len(dw), -1), layer)[0].reshape(shape)
