"""Ghost batch normalization (Hoffer, Hubara and Soudry, 2017, arXiv:1705.08741)."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, check_gradient
from resnorm_lib.reference.batch_norm import batch_norm_backward, batch_norm_forward


def ghost_batch_norm_forward(
    x: ArrayLike,
    ghost_batch_size: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[ndarray, list]:
    r"""Normalize each part of the batch by its own statistics, as batch normalization does.

    .. math:: y_{jc} = w_c \frac{x_{jc} - \mu_{pc}}{\sigma_{pc}} + b_c \qquad \text{for } j \text{ in part } p

    The rows are cut, in order, into :math:`\max(1, \lfloor N / \text{ghost\_batch\_size} \rfloor)` parts that differ
    by at most one row.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    ghost_batch_size : int
        Fewest rows in a part.
    weight, bias : array, shape (C,), optional
        Gain and bias; 1 and 0 when left out.
    eps : float
        Added to the variance, inside the square root.

    Returns
    -------
    y : array of the shape of ``x``, and ``cache`` for :func:`ghost_batch_norm_backward`.

    Raises
    ------
    ValueError
        As :func:`batch_norm_forward`.

    Examples
    --------
    >>> y, _ = ghost_batch_norm_forward([[1.0], [3.0], [10.0], [30.0]], ghost_batch_size=2, eps=0.0)
    >>> y.ravel()
    array([-1.,  1., -1.,  1.])
    """
    x = np.atleast_1d(as_float64("x", x))
    parts = np.array_split(x, max(1, len(x) // ghost_batch_size))
    ys, caches = zip(*(batch_norm_forward(part, weight, bias, eps) for part in parts))
    return np.concatenate(ys), caches


def ghost_batch_norm_backward(dy: ArrayLike, cache: list) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`ghost_batch_norm_forward`.

    With :math:`g = w_c\,dy`, and means over one channel of one part,

    .. math::

        dx = \frac{1}{\sigma_{pc}}\left(g - \overline{g} - \hat x\,\overline{g\,\hat x}\right), \qquad
        dw_c = \sum_p \sum_{j \in p} dy\,\hat x, \qquad db_c = \sum dy

    Parameters
    ----------
    dy : array of the shape of ``y``.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of ``x``, ``weight`` and ``bias``.
    """
    rows = [len(x_hat) for x_hat, *_ in cache]
    dy = check_gradient(dy, (sum(rows), *cache[0][0].shape[1:]))
    parts = np.split(dy, np.cumsum(rows)[:-1])
    dx, dweight, dbias = zip(*(batch_norm_backward(part, own) for part, own in zip(parts, cache)))
    return np.concatenate(dx), sum(dweight), sum(dbias)
