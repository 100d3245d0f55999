"""The logits of attention under query-key normalization (arXiv:2302.05442, arXiv:2010.04245)."""

from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, check_gradient
from resnorm_lib.reference.rms_norm import rms_norm_backward, rms_norm_forward
from resnorm_lib.reference.scale_norm import scale_norm_backward, scale_norm_forward


def qk_norm_forward(
    q: ArrayLike,
    k: ArrayLike,
    q_weight: ArrayLike | None = None,
    k_weight: ArrayLike | None = None,
    eps: float | None = None,
) -> tuple[ndarray, tuple]:
    r"""Return the logits of one head after root mean square normalization of queries and keys.

    .. math:: \hat q = N(q), \qquad \hat k = N(k), \qquad S = \frac{1}{\sqrt d}\,\hat q\,\hat k^\top

    Parameters
    ----------
    q, k : arrays, shapes (T, d) and (T', d)
    q_weight, k_weight : arrays, shape (d,), optional
        Gains; 1 when left out.
    eps : float, optional
        As for :func:`resnorm_lib.reference.rms_norm_forward`.

    Returns
    -------
    logits : array, shape (T, T'), and ``cache`` for :func:`qk_norm_backward`.

    Examples
    --------
    >>> logits, _ = qk_norm_forward([[300.0, 400.0]], [[0.0, -7.0]])
    >>> logits.round(3)
    array([[-1.131]])
    """
    q_hat, q_cache = rms_norm_forward(as_float64("q", q, ndim=2), q_weight, eps)
    k_hat, k_cache = rms_norm_forward(as_float64("k", k, ndim=2), k_weight, eps)
    scale = q_hat.shape[-1] ** -0.5
    return scale * q_hat @ k_hat.T, (q_hat, k_hat, scale, q_cache, k_cache)


def qk_norm_backward(dlogits: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`qk_norm_forward`.

    .. math:: d\hat q = \frac{1}{\sqrt d}\,dS\,\hat k, \qquad d\hat k = \frac{1}{\sqrt d}\,dS^\top \hat q

    followed by the backward of root mean square normalization, once for q and once for k.

    Parameters
    ----------
    dlogits : array, shape (T, T')

    Returns
    -------
    dq, dk, dq_weight, dk_weight
    """
    q_hat, k_hat, scale, q_cache, k_cache = cache
    dlogits = check_gradient(dlogits, (len(q_hat), len(k_hat)))
    dq, dq_weight = rms_norm_backward(scale * dlogits @ k_hat, q_cache)
    dk, dk_weight = rms_norm_backward(scale * dlogits.T @ q_hat, k_cache)
    return dq, dk, dq_weight, dk_weight


def cosine_qk_norm_forward(
    q: ArrayLike, k: ArrayLike, gain: float | None = None, eps: float = 1e-6
) -> tuple[ndarray, tuple]:
    r"""Return the logits of one head, cosines times a learned number: :math:`S_{ij} = g \cos(q_i, k_j)`.

    Parameters
    ----------
    q, k : arrays, shapes (T, d) and (T', d)
    gain : float, optional
        g; the square root of d when left out.
    eps : float
        The smallest length to divide by.

    Returns
    -------
    logits : array, shape (T, T'), and ``cache`` for :func:`cosine_qk_norm_backward`.

    Examples
    --------
    >>> logits, _ = cosine_qk_norm_forward([[300.0, 400.0]], [[0.0, -7.0]], gain=10.0)
    >>> logits.round(3)
    array([[-8.]])
    """
    q_hat, q_cache = scale_norm_forward(as_float64("q", q, ndim=2), gain, eps)
    k_hat, k_cache = scale_norm_forward(as_float64("k", k, ndim=2), 1.0, eps)
    return q_hat @ k_hat.T, (q_hat, k_hat, q_cache, k_cache)


def cosine_qk_norm_backward(dlogits: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, float]:
    r"""Gradients of :func:`cosine_qk_norm_forward`: dq, dk, dgain.

    .. math:: d\hat q = dS\,\hat k, \qquad d\hat k = dS^\top \hat q

    with :math:`\hat q` of length g and :math:`\hat k` of length 1, followed by the backward of scale normalization.

    Parameters
    ----------
    dlogits : array, shape (T, T')
    """
    q_hat, k_hat, q_cache, k_cache = cache
    dlogits = check_gradient(dlogits, (len(q_hat), len(k_hat)))
    dq, dgain = scale_norm_backward(dlogits @ k_hat, q_cache)
    dk, _ = scale_norm_backward(dlogits.T @ q_hat, k_cache)
    return dq, dk, dgain
