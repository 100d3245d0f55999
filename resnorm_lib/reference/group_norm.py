"""Group normalization (Wu and He, 2018, arXiv:1803.08494) and instance normalization (Ulyanov et al., 2016)."""

from numpy import ndarray
from numpy.typing import ArrayLike

from resnorm_lib.reference._arrays import as_float64, as_parameter, check_gradient, per_channel
from resnorm_lib.reference.layer_norm import layer_norm_backward, layer_norm_forward


def group_norm_forward(
    x: ArrayLike, num_groups: int, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[ndarray, tuple]:
    r"""Normalize each group of channels of each sample: layer normalization of (N, G, everything else).

    .. math::

        \mu_{ng} = \frac1m \sum_{c \in g,\, j} x_{ncj}, \qquad
        \sigma_{ng} = \sqrt{\frac1m \sum_{c \in g,\, j} (x_{ncj} - \mu_{ng})^2 + \varepsilon}, \qquad
        y_{ncj} = w_c \frac{x_{ncj} - \mu_{ng}}{\sigma_{ng}} + b_c

    with m the number of entries of a group. Each group has its statistics, each channel its gain and bias.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    num_groups : int
        G, a divisor of C.
    weight, bias : array, shape (C,), optional
        Gain and bias; 1 and 0 when left out.
    eps : float
        Added to the variance, inside the square root.

    Returns
    -------
    y : array of the shape of ``x``, and ``cache`` for :func:`group_norm_backward`.

    Raises
    ------
    ValueError
        If ``x`` has fewer than two axes, if G does not divide C, or if a parameter is not of shape (C,).

    Examples
    --------
    >>> y, _ = group_norm_forward([[1.0, 3.0, 10.0, 30.0]], num_groups=2, eps=0.0)
    >>> y
    array([[-1.,  1., -1.,  1.]])
    """
    x = as_float64("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has {x.ndim} axes, but group normalization needs (N, C) or (N, C, ...).")
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"num_groups is {num_groups}, but it must divide the {channels} channels of x.")
    weight = as_parameter("weight", weight, channels, default=1.0)
    bias = as_parameter("bias", bias, channels, default=0.0)
    groups = x.reshape(x.shape[0], num_groups, x[:1].size // num_groups if x.size else 1)
    x_hat, cache = layer_norm_forward(groups, eps=eps)
    x_hat = x_hat.reshape(x.shape)
    return per_channel(weight, x.ndim) * x_hat + per_channel(bias, x.ndim), (x_hat, cache, weight)


def group_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`group_norm_forward`.

    With :math:`g_{ncj} = w_c\,dy_{ncj}`, and means over the entries of a group,

    .. math::

        dx = \frac{1}{\sigma_{ng}}\left(g - \overline{g} - \hat x\,\overline{g\,\hat x}\right), \qquad
        dw_c = \sum_{n,j} dy\,\hat x, \qquad db_c = \sum_{n,j} dy

    Parameters
    ----------
    dy : array of the shape of ``y``.

    Returns
    -------
    dx, dweight, dbias : arrays of the shapes of ``x``, ``weight`` and ``bias``.
    """
    x_hat, groups, weight = cache
    dy = check_gradient(dy, x_hat.shape)
    others = (0, *range(2, dy.ndim))
    g = per_channel(weight, dy.ndim) * dy
    dx, _, _ = layer_norm_backward(g.reshape(groups[0].shape), groups)
    return dx.reshape(dy.shape), (dy * x_hat).sum(axis=others), dy.sum(axis=others)


def instance_norm_forward(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[ndarray, tuple]:
    r"""Normalize each channel of each sample over its positions: as many groups as channels.

    .. math:: y_{ncj} = w_c \frac{x_{ncj} - \mu_{nc}}{\sigma_{nc}} + b_c

    with the mean and the standard deviation (eps inside the root) over j. Arguments, result and errors are as for
    :func:`group_norm_forward` without ``num_groups``; the cache is for :func:`instance_norm_backward`.

    Examples
    --------
    >>> y, _ = instance_norm_forward([[[1.0, 3.0], [10.0, 30.0]]], eps=0.0)
    >>> y
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    x = as_float64("x", x)
    if x.ndim < 3:
        raise ValueError(f"x has {x.ndim} axes, but instance normalization needs (N, C, L, ...).")
    return group_norm_forward(x, x.shape[1], weight, bias, eps)


def instance_norm_backward(dy: ArrayLike, cache: tuple) -> tuple[ndarray, ndarray, ndarray]:
    r"""Gradients of :func:`instance_norm_forward`: dx, dweight, dbias.

    .. math:: dx = \frac{1}{\sigma_{nc}}\left(g - \overline{g} - \hat x\,\overline{g\,\hat x}\right)

    with means over the positions of one channel of one sample; the rest is :func:`group_norm_backward`.
    """
    return group_norm_backward(dy, cache)
