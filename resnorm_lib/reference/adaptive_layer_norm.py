"""Adaptive layer normalization, adaLN-Zero (Peebles and Xie, 2023, arXiv:2212.09748)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, check_gradient
from resnorm_lib.reference.layer_norm import layer_norm_backward, layer_norm_forward


def adaptive_layer_norm_forward(
    x: ArrayLike, condition: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-6
) -> tuple[ndarray, ndarray, tuple]:
    r"""Normalize each row, with a gain, a bias and a gate that each sample's condition determines.

    .. math::

        h = \mathrm{SiLU}(c) = \frac{c}{1 + e^{-c}}, \qquad (s, a, g) = W h + v, \qquad y = (1 + a) \odot \hat x + s

    Parameters
    ----------
    x : array, shape (N, T, d)
    condition : array, shape (N, c)
    weight : array, shape (3 d, c)
        W; ``bias`` is v of shape (3 d,).
    eps : float
        Added to the variance of a row, inside the square root.

    Returns
    -------
    y : array, shape (N, T, d); gate : array, shape (N, 1, d); and ``cache`` for
    :func:`adaptive_layer_norm_backward`.

    Examples
    --------
    >>> y, gate, _ = adaptive_layer_norm_forward([[[1.0, 3.0]]], [[5.0]], np.zeros((6, 1)), np.zeros(6), eps=0.0)
    >>> y, gate                     # W and v start at 0: plain layer normalization, closed gate
    (array([[[-1.,  1.]]]), array([[[0., 0.]]]))
    """
    condition, weight = as_float64("condition", condition, ndim=2), as_float64("weight", weight, ndim=2)
    x_hat, layer = layer_norm_forward(as_float64("x", x, ndim=3), eps=eps)
    sigmoid = 1 / (1 + np.exp(-condition))
    h = condition * sigmoid
    shift, scale, gate = np.split((h @ weight.T + as_float64("bias", bias, ndim=1))[:, None, :], 3, axis=-1)
    return (1 + scale) * x_hat + shift, gate, (x_hat, layer, scale, h, sigmoid, weight)


def adaptive_layer_norm_backward(
    dy: ArrayLike, dgate: ArrayLike, cache: tuple
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`adaptive_layer_norm_forward`.

    dx is the backward of layer normalization applied to :math:`(1 + a) \odot dy`. The gradient of the condition sums
    over the rows t of a sample,

    .. math::

        ds = \sum_t dy_t, \qquad da = \sum_t dy_t \odot \hat x_t, \qquad m = (ds, da, dg), \qquad
        dW = \sum_n m_n h_n^\top, \qquad dv = \sum_n m_n, \qquad dh = W^\top m

    and :math:`dc = dh \odot \big(\varsigma + c\,\varsigma (1 - \varsigma)\big)` with :math:`\varsigma` the sigmoid
    of c.

    Parameters
    ----------
    dy : array, shape (N, T, d)
    dgate : array, shape (N, 1, d)

    Returns
    -------
    dx, dcondition, dweight, dbias : arrays of the shapes of the arguments.
    """
    x_hat, layer, scale, h, sigmoid, weight = cache
    dy = check_gradient(dy, x_hat.shape)
    dx, _, _ = layer_norm_backward((1 + scale) * dy, layer)
    m = np.concatenate([dy.sum(axis=1), (dy * x_hat).sum(axis=1), as_float64("dgate", dgate)[:, 0]], axis=-1)
    dcondition = (m @ weight) * (sigmoid + h * (1 - sigmoid))
    return dx, dcondition, m.T @ h, m.sum(axis=0)
