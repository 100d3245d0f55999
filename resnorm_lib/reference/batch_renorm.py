"""Batch renormalization (Ioffe, 2017, arXiv:1702.03275)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient, per_channel
from resnorm_lib.reference.batch_norm import batch_norm_backward, batch_norm_forward


def batch_renorm_forward(
    x: ArrayLike,
    running: tuple[ArrayLike, ArrayLike],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
) -> tuple[ndarray, tuple]:
    r"""Batch normalization in training, corrected towards the running statistics.

    .. math::

        \hat x = \frac{x - \mu_c}{\sigma_c}, \qquad
        r = \mathrm{clip}\Big(\frac{\sigma_c}{\sigma}, \frac{1}{r_{\max}}, r_{\max}\Big), \qquad
        d = \mathrm{clip}\Big(\frac{\mu_c - \mu}{\sigma}, -d_{\max}, d_{\max}\Big), \qquad
        y = w (r \hat x + d) + b

    with the statistics :math:`\mu_c, \sigma_c` of the batch (eps inside the root) and the running :math:`\mu, \sigma`.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    running : pair of arrays, shape (C,)
        ``(mean, std)``, the running mean and standard deviation.
    weight, bias : array, shape (C,), optional
        Gain and bias; 1 and 0 when left out.
    r_max, d_max, eps : float

    Returns
    -------
    y : array of the shape of ``x``, and ``cache`` for :func:`batch_renorm_backward`.

    Raises
    ------
    ValueError
        If ``x`` is empty or has fewer than two axes, or if a parameter is not of shape (C,).

    Examples
    --------
    >>> y, _ = batch_renorm_forward([[1.0], [3.0]], ([1.0], [2.0]), eps=0.0)
    >>> y                            # within the limits: (x - 1) / 2
    array([[0.],
           [1.]])
    """
    x_hat, cache = batch_norm_forward(x, eps=eps)
    x, channels, others = as_float64("x", x), x_hat.shape[1], (0, *range(2, x_hat.ndim))
    weight = as_parameter("weight", weight, channels, default=1.0)
    bias = as_parameter("bias", bias, channels, default=0.0)
    mean, std = (as_parameter(f"running {n}", v, channels, 0.0) for n, v in zip(("mean", "std"), running))
    r = np.clip(np.sqrt(x.var(axis=others) + eps) / std, 1 / r_max, r_max)
    d = np.clip((x.mean(axis=others) - mean) / std, -d_max, d_max)
    corrected = per_channel(r, x_hat.ndim) * x_hat + per_channel(d, x_hat.ndim)
    y = per_channel(weight, x_hat.ndim) * corrected + per_channel(bias, x_hat.ndim)
    return y, (corrected, cache, r * weight)


def batch_renorm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`batch_renorm_forward`, with r and d held constant.

    With :math:`g = w_c\,r_c\,dy`, and means over all axes but the channel's,

    .. math::

        dx = \frac{1}{\sigma_c}\left(g - \overline{g} - \hat x\,\overline{g\,\hat x}\right), \qquad
        dw_c = \sum dy\,(r_c\,\hat x + d_c), \qquad db_c = \sum dy

    Parameters
    ----------
    dy : array of the shape of ``y``.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of ``x``, ``weight`` and ``bias``.
    """
    corrected, batch, gain = cache
    dy = check_gradient(dy, corrected.shape)
    others = (0, *range(2, dy.ndim))
    dx, _, _ = batch_norm_backward(per_channel(gain, dy.ndim) * dy, batch)
    return dx, (dy * corrected).sum(axis=others), dy.sum(axis=others)
