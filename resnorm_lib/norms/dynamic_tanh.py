"""Layers that stand where a norm stood and compute no statistics: DynamicTanh and Derf."""

import torch
from torch import nn

from resnorm_lib._arguments import flag, number
from resnorm_lib.norms._shared import Affine, as_shape, check_last_axes
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.elementwise import squash

__all__ = ["Derf", "DynamicTanh"]


class _Squash(Affine):
    """What DynamicTanh and Derf share: the shape, the affine part, and a learned scalar ``alpha``."""

    def __init__(self, normalized_shape, alpha_init_value, elementwise_affine, device, dtype):
        shape = as_shape("normalized_shape", normalized_shape)
        affine = flag("elementwise_affine", elementwise_affine)
        alpha_init_value = number("alpha_init_value", alpha_init_value)
        super().__init__(shape, affine, affine, device, dtype)
        self.normalized_shape = shape
        self.elementwise_affine = affine
        self.alpha_init_value = alpha_init_value
        self.alpha = nn.Parameter(torch.empty(1, device=device, dtype=dtype))

    def reset_parameters(self):
        super().reset_parameters()
        nn.init.constant_(self.alpha, self.alpha_init_value)

    def forward(self, x):
        check_last_axes(x, self.normalized_shape)
        return squash(x, self.alpha, getattr(self, "shift", None), self.weight, self.bias)

    def extra_repr(self):
        return f"{self.normalized_shape}, elementwise_affine={self.elementwise_affine}"


@named("dyt")
class DynamicTanh(_Squash):
    r"""Dynamic tanh, every entry by itself: no statistics, no row, no batch.

    .. math:: y = w \odot \tanh(\alpha x) + b

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes; x has shape (..., \*normalized_shape).
    alpha_init_value : float, default 0.5
        Where the learned scalar :math:`\alpha` starts. The paper starts it elsewhere in large language models.
    elementwise_affine : bool, default True
        Learn ``weight`` and ``bias`` of the normalized shape.
    device, dtype : optional
        Of the parameters.

    Raises
    ------
    ValueError
        If an argument or the last axes of the input do not fit.

    References
    ----------
    Zhu, Chen, He, LeCun and Liu (2025), arXiv:2503.10622.

    Examples
    --------
    >>> DynamicTanh(3)(torch.tensor([[-100.0, 1.0, 100.0]])).detach().round(decimals=3)
    tensor([[-1.0000,  0.4620,  1.0000]])
    """

    def __init__(self, normalized_shape, alpha_init_value=0.5, elementwise_affine=True, device=None, dtype=None):
        super().__init__(normalized_shape, alpha_init_value, elementwise_affine, device, dtype)
        self.reset_parameters()


@named("derf")
class Derf(_Squash):
    r"""Dynamic erf, every entry by itself: the rescaled Gaussian distribution function with a learned shift.

    .. math:: y = w \odot \operatorname{erf}(\alpha x + s) + b

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes; x has shape (..., \*normalized_shape).
    alpha_init_value : float, default 0.5
        Where the learned scalar :math:`\alpha` starts.
    shift_init_value : float, default 0.0
        Where the learned scalar s starts.
    elementwise_affine : bool, default True
        Learn ``weight`` and ``bias`` of the normalized shape.
    device, dtype : optional
        Of the parameters.

    Raises
    ------
    ValueError
        If an argument or the last axes of the input do not fit.

    References
    ----------
    Chen, Lu, Zhu, Sun and Liu (2025), arXiv:2512.10938.

    Examples
    --------
    >>> Derf(3)(torch.tensor([[-100.0, 1.0, 100.0]])).detach().round(decimals=3)
    tensor([[-1.0000,  0.5200,  1.0000]])
    """

    def __init__(
        self,
        normalized_shape,
        alpha_init_value=0.5,
        shift_init_value=0.0,
        elementwise_affine=True,
        device=None,
        dtype=None,
    ):
        super().__init__(normalized_shape, alpha_init_value, elementwise_affine, device, dtype)
        self.shift_init_value = number("shift_init_value", shift_init_value)
        self.shift = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        super().reset_parameters()
        nn.init.constant_(self.shift, self.shift_init_value)
