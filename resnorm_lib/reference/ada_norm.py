"""AdaNorm (Xu et al., 2019, arXiv:1911.07013)."""

from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import check_gradient
from resnorm_lib.reference.layer_norm import layer_norm_backward, layer_norm_forward


def ada_norm_forward(x: ArrayLike, scale: float = 1.0, k: float = 0.1, eps: float = 1e-5) -> tuple[ndarray, tuple]:
    r"""Normalize each row, and multiply each entry by a factor that falls as the entry grows.

    .. math:: \phi = C\,(1 - k\,\hat x), \qquad y = \phi \odot \hat x

    with :math:`\hat x` the output of layer normalization.

    Parameters
    ----------
    x : array, shape (..., d)
    scale : float
        C.
    k, eps : float

    Returns
    -------
    y : array, shape (..., d), and ``cache`` for :func:`ada_norm_backward`.

    Examples
    --------
    >>> y, _ = ada_norm_forward([[1.0, 3.0]], eps=0.0)
    >>> y
    array([[-1.1,  0.9]])
    """
    x_hat, cache = layer_norm_forward(x, eps=eps)
    phi = scale * (1 - k * x_hat)
    return phi * x_hat, (phi, cache)


def ada_norm_backward(dy: ArrayLike, cache: tuple) -> ndarray:
    r"""Return the gradient that AdaNorm defines, with :math:`\phi` held constant.

    With :math:`g = \phi \odot dy`, and means over the last axis,

    .. math:: dx = \frac{1}{\sigma}\left(g - \overline{g} - \hat x\,\overline{g \odot \hat x}\right)

    This is not the derivative of the forward pass, which would have
    :math:`g = C\,(1 - 2 k\,\hat x) \odot dy`.

    Parameters
    ----------
    dy : array, shape (..., d)

    Returns
    -------
    dx : array of the shape of ``x``.
    """
    phi, layer = cache
    dx, _, _ = layer_norm_backward(phi * check_gradient(dy, phi.shape), layer)
    return dx
