"""Adapters for features on another axis than the one that a norm takes them from."""

from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from resnorm_lib.norms import make_norm
from resnorm_lib.norms.registry import Norm

__all__ = ["feature_norm"]


class EachToken(nn.Module):
    """Apply a norm of (N, C, ...) to features on the last axis. Each token is a sample, so none sees another."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class EachPixel(nn.Module):
    """Apply a norm of the last axis to features on axis 1: every pixel is normalized by itself."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return y.contiguous() if x.is_contiguous() else y


def feature_norm(norm: Norm, dim: int, axis: int | None = None) -> nn.Module:
    """Return a norm for ``dim`` features on the given axis (``None``: on the axis where the norm looks for them).

    ``norm`` is whatever :func:`resnorm_lib.norms.make_norm` takes. torch's names tell where a norm looks for its
    features: one with ``num_features`` or ``num_channels`` takes axis 1, others the last. For another axis it gets an
    adapter.

    Raises
    ------
    ValueError
        If ``norm`` is unknown, ``dim`` does not fit, or the norm has nothing to average in a token.

    Examples
    --------
    >>> import torch
    >>> feature_norm("layer", 8, axis=1)(torch.zeros(2, 8, 5, 5)).shape
    torch.Size([2, 8, 5, 5])
    """
    name, norm = norm, make_norm(norm, dim)
    if axis is None or isinstance(norm, nn.Identity):
        return norm
    takes_channels = hasattr(norm, "num_features") or hasattr(norm, "num_channels")
    if axis == 1:
        return norm if takes_channels else EachPixel(norm)
    if isinstance(norm, _InstanceNorm) or getattr(norm, "num_groups", 0) == dim:
        raise ValueError(
            f"norm is {name!r}, which averages over the positions of one channel, but for dim={dim} a token would be "
            "averaged over nothing: use 'layer', 'rms', or 'group' with a dim of 64 or more."
        )
    return EachToken(norm) if takes_channels else norm
