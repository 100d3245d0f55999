"""Norms of weights instead of activations: weight normalization and weight standardization."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from resnorm_lib._arguments import number
from resnorm_lib._precision import upcast
from resnorm_lib.ops.norm.torch_version import layer_norm

__all__ = ["WeightNorm", "WeightStandardization", "weight_norm", "weight_standardization"]


class WeightNorm(nn.Module):
    r"""Compute a weight from its length and its direction: the parametrization behind :func:`weight_norm`.

    .. math:: W_i = g_i \frac{v_i}{\lVert v_i \rVert}

    for each slice i along ``dim``; with ``dim=None`` the whole tensor is one slice.

    Raises
    ------
    ValueError
        If a slice of the weight that it is applied to is zero, which has no direction.

    Examples
    --------
    >>> WeightNorm()(torch.tensor([[10.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[6., 8.]])
    """

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 0):
            # Not from the end: torch takes -1 for None, and its state dict would not fit.
            raise ValueError(f"dim is {dim!r}, but it must be an axis of the weight, counted from 0, or None.")
        self.dim = dim

    def _length(self, v: Tensor) -> Tensor:
        if self.dim is None:
            return torch.linalg.vector_norm(v)
        if self.dim >= v.dim():
            raise ValueError(f"dim is {self.dim}, but the weight has {v.dim()} axes.")
        others = [axis for axis in range(v.dim()) if axis != self.dim]
        # The slices of a vector are its entries; vector_norm would take an empty list of axes for all axes.
        return torch.linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        wide = upcast(v)
        return (g / self._length(wide) * wide).to(v.dtype)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        g = self._length(weight)
        if not g.is_meta and not bool((g > 0).all()):
            raise ValueError(f"the weight has a zero slice along dim={self.dim}: it has no direction to normalize.")
        return g, weight


class WeightStandardization(nn.Module):
    r"""Standardize the weights of each output channel: the parametrization behind :func:`weight_standardization`.

    .. math:: \hat W_i = \frac{W_i - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}

    over all axes but the first.

    Examples
    --------
    >>> WeightStandardization()(torch.tensor([[1.0, 3.0], [10.0, 30.0]])).round(decimals=3)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = number("eps", eps, at_least=0)

    def forward(self, weight: Tensor) -> Tensor:
        return layer_norm(weight, weight.shape[1:], None, None, self.eps)


def weight_norm(module: nn.Module, name: str = "weight", dim: int | None = 0) -> nn.Module:
    r"""Give ``module`` a weight in two parameters, length g and direction v; its output does not change.

    .. math:: W_i = g_i \frac{v_i}{\lVert v_i \rVert}

    The gradient with respect to v is orthogonal to v, so v only grows, and its length scales the learning rate. The
    state dict is that of :func:`torch.nn.utils.parametrizations.weight_norm`: ``parametrizations.weight.original0``
    is g, ``original1`` is v. Undo it with :func:`torch.nn.utils.parametrize.remove_parametrizations`. A layer that was
    built on the meta device needs a state dict: its ``reset_parameters`` reaches neither g nor v.

    Parameters
    ----------
    module : nn.Module
        A linear or convolutional layer, changed in place.
    name : str, default "weight"
        The parameter.
    dim : int or None, default 0
        The axis whose slices have a length each; 0 is the output of a linear or convolutional layer. None: one length.

    Returns
    -------
    The same module.

    Raises
    ------
    ValueError
        If there is no such parameter or axis, or if a slice is zero.

    References
    ----------
    Salimans and Kingma (2016), arXiv:1602.07868.

    Examples
    --------
    >>> layer = weight_norm(nn.Linear(3, 2))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    return _parametrize(module, name, WeightNorm(dim))


def weight_standardization(module: nn.Module, name: str = "weight", eps: float = 1e-5) -> nn.Module:
    r"""Let ``module`` compute with its weight standardized per output channel.

    .. math:: \hat W_i = \frac{W_i - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}

    with statistics over all axes but the first. Use it for convolutions that are followed by a norm of activations,
    since the scale of W is lost. ``parametrizations.weight.original`` is W. A layer that was built on the meta device
    needs a state dict: its ``reset_parameters`` does not reach W.

    Parameters
    ----------
    module : nn.Module
        A linear or convolutional layer, changed in place.
    name : str, default "weight"
        The parameter; it has at least two axes.
    eps : float, default 1e-5
        Added to the variance, inside the square root.

    Returns
    -------
    The same module.

    Raises
    ------
    ValueError
        If there is no such parameter, if it has fewer than two axes, or if eps does not fit.

    Notes
    -----
    Derivatives are right to the order that :class:`LayerNorm` says.

    References
    ----------
    Qiao, Wang, Liu, Shen and Yuille (2019), arXiv:1903.10520.

    Examples
    --------
    >>> conv = weight_standardization(nn.Conv2d(3, 2, kernel_size=3))
    >>> bool(conv.weight.mean((1, 2, 3)).abs().max() < 1e-6)
    True
    """
    standardization = WeightStandardization(eps)
    weight = getattr(module, name, None) if isinstance(name, str) else None
    if isinstance(weight, Tensor) and weight.dim() < 2:
        raise ValueError(f"{name} has {weight.dim()} axes, but standardization needs at least two.")
    return _parametrize(module, name, standardization)


def _parametrize(module: nn.Module, name: str, parametrization: nn.Module) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is {module!r}, but it must be an nn.Module.")
    if not isinstance(getattr(module, str(name), None), nn.Parameter):
        known = ", ".join(key for key, _ in module.named_parameters(recurse=False)) or "none"
        raise ValueError(f"name is {name!r}, but the parameters of {type(module).__name__} are: {known}.")
    parametrize.register_parametrization(module, name, parametrization)
    return module
