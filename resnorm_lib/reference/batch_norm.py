"""Batch normalization (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient, per_channel


def batch_norm_forward(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    running: tuple[ArrayLike, ArrayLike] | None = None,
) -> tuple[ndarray, tuple]:
    r"""Normalize each channel (axis 1) of ``x`` over all other axes.

    Over the :math:`m` entries of a channel, in training,

    .. math::

        \mu_c = \frac1m \sum_j x_{jc}, \qquad
        \sigma_c = \sqrt{\frac1m \sum_j (x_{jc} - \mu_c)^2 + \varepsilon}, \qquad
        y_{jc} = w_c \frac{x_{jc} - \mu_c}{\sigma_c} + b_c

    In evaluation the running mean and variance take their place, as constants.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    weight, bias : array, shape (C,), optional
        Gain and bias; 1 and 0 when left out.
    eps : float
        Added to the variance, inside the square root.
    running : pair of arrays, shape (C,), optional
        ``(mean, var)`` to use instead of the statistics of ``x``: evaluation.

    Returns
    -------
    y : array of the shape of ``x``, and ``cache`` for :func:`batch_norm_backward`.

    Raises
    ------
    ValueError
        If ``x`` has fewer than two axes, if it is empty in training (nothing to average), or if a parameter is
        not of shape (C,).

    Examples
    --------
    >>> y, _ = batch_norm_forward([[1.0, 10.0], [3.0, 30.0]], eps=0.0)
    >>> y
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    x = as_float64("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has {x.ndim} axes, but batch normalization needs (N, C) or (N, C, ...).")
    channels = x.shape[1]
    weight = as_parameter("weight", weight, channels, default=1.0)
    bias = as_parameter("bias", bias, channels, default=0.0)
    others = (0, *range(2, x.ndim))
    if running is None:
        if x.size == 0:
            raise ValueError("x is empty: a batch without entries has no mean.")
        mean, var = x.mean(axis=others), x.var(axis=others)
    else:
        mean, var = (as_parameter(f"running {n}", v, channels, 0.0) for n, v in zip(("mean", "var"), running))
    sigma = np.sqrt(var + eps)
    x_hat = (x - per_channel(mean, x.ndim)) / per_channel(sigma, x.ndim)
    y = per_channel(weight, x.ndim) * x_hat + per_channel(bias, x.ndim)
    return y, (x_hat, sigma, weight, running is None)


def batch_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`batch_norm_forward`.

    With :math:`g = w_c\,dy`, and means over all axes but the channel's, in training

    .. math::

        dx = \frac{1}{\sigma_c}\left(g - \overline{g} - \hat x\,\overline{g\,\hat x}\right), \qquad
        dw_c = \sum dy\,\hat x, \qquad db_c = \sum dy

    which is the formula of layer normalization along other axes. In evaluation the statistics do not depend on
    ``x``, and :math:`dx = g / \sigma_c`.

    Parameters
    ----------
    dy : array of the shape of ``y``.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of ``x``, ``weight`` and ``bias``.
    """
    x_hat, sigma, weight, training = cache
    dy = check_gradient(dy, x_hat.shape)
    others = (0, *range(2, dy.ndim))
    g = per_channel(weight, dy.ndim) * dy
    dx = g
    if training:
        dx = g - g.mean(axis=others, keepdims=True) - x_hat * (g * x_hat).mean(axis=others, keepdims=True)
    return dx / per_channel(sigma, dy.ndim), (dy * x_hat).sum(axis=others), dy.sum(axis=others)


def batch_norm_running(
    x: ArrayLike, running: tuple[ArrayLike, ArrayLike], momentum: float = 0.1
) -> tuple[ndarray, ndarray]:
    r"""Move the running statistics towards those of a training batch.

    .. math::

        \mu \leftarrow (1 - \rho)\,\mu + \rho\,\mu_c, \qquad
        v \leftarrow (1 - \rho)\,v + \rho\,\frac{1}{m - 1} \sum_j (x_{jc} - \mu_c)^2

    with :math:`\rho` the momentum. The sum of squares is divided by m to normalize the batch, and by m - 1 to estimate
    the variance of the data.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    running : pair of arrays, shape (C,)
        ``(mean, var)`` before the batch.
    momentum : float
        The weight of the batch.

    Returns
    -------
    mean, var : arrays, shape (C,)

    Raises
    ------
    ValueError
        If a channel has fewer than two entries.

    Examples
    --------
    >>> batch_norm_running([[1.0], [3.0]], ([0.0], [1.0]), momentum=0.5)
    (array([1.]), array([1.5]))
    """
    x = as_float64("x", x)
    others = (0, *range(2, x.ndim))
    if x.size < 2 * x.shape[1]:
        raise ValueError(f"x has shape {x.shape}, but an unbiased variance needs two entries in each channel.")
    mean, var = (as_parameter(f"running {n}", v, x.shape[1], 0.0) for n, v in zip(("mean", "var"), running))
    mean = (1 - momentum) * mean + momentum * x.mean(axis=others)
    return mean, (1 - momentum) * var + momentum * x.var(axis=others, ddof=1)
