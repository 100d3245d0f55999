"""Layers that replace a norm and compute no statistics: DynamicTanh and Derf."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import flag, number
from resnorm_lib.norms._checks import as_shape, check_last_axes
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.elementwise.function import tanh_or_erf

__all__ = ["Derf", "DynamicTanh"]


class _PointwiseAffine(nn.Module):
    """The base of DynamicTanh and Derf: a learned scalar ``alpha``, a gain and a bias."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        alpha_init_value: float,
        elementwise_affine: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.normalized_shape = as_shape("normalized_shape", normalized_shape)
        self.elementwise_affine = flag("elementwise_affine", elementwise_affine)
        self.alpha_init_value = number("alpha_init_value", alpha_init_value)
        for name in ("weight", "bias"):
            values = torch.empty(self.normalized_shape, device=device, dtype=dtype) if elementwise_affine else None
            self.register_parameter(name, None if values is None else nn.Parameter(values))
        self.alpha = nn.Parameter(torch.empty(1, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Put gain, bias and alpha back to their starting values."""
        if self.elementwise_affine:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)
        nn.init.constant_(self.alpha, self.alpha_init_value)

    def forward(self, x: Tensor) -> Tensor:
        check_last_axes(x, self.normalized_shape)
        return tanh_or_erf(x, self.alpha, getattr(self, "shift", None), self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, elementwise_affine={self.elementwise_affine}"


@named("dyt")
class DynamicTanh(_PointwiseAffine):
    r"""Dynamic tanh of each entry, without any statistics.

    .. math:: y = w \odot \tanh(\alpha x) + b

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes; x has shape (..., \*normalized_shape).
    alpha_init_value : float, default 0.5
        The starting value of the learned scalar :math:`\alpha`. The paper uses other values in large language models.
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

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        alpha_init_value: float = 0.5,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(normalized_shape, alpha_init_value, elementwise_affine, device, dtype)
        self.reset_parameters()


@named("derf")
class Derf(_PointwiseAffine):
    r"""Dynamic erf of each entry: the rescaled Gaussian distribution function with a learned shift.

    .. math:: y = w \odot \operatorname{erf}(\alpha x + s) + b

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes; x has shape (..., \*normalized_shape).
    alpha_init_value : float, default 0.5
        The starting value of the learned scalar :math:`\alpha`.
    shift_init_value : float, default 0.0
        The starting value of the learned scalar s.
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
        normalized_shape: int | Sequence[int],
        *,
        alpha_init_value: float = 0.5,
        shift_init_value: float = 0.0,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(normalized_shape, alpha_init_value, elementwise_affine, device, dtype)
        self.shift_init_value = number("shift_init_value", shift_init_value)
        self.shift = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.shift, self.shift_init_value)
