"""What several norms need: the shape argument of torch, float32 for statistics, gain and offset, sentences."""

import torch
from torch import nn

from resnorm_lib._arguments import flag, number, positive_int
from resnorm_lib.ops.add_norm import add_norm
from resnorm_lib.ops.norm import normalize_rows


def as_shape(name, value):
    """Return an int, or a sequence of them, as a tuple of positive ints."""
    if not isinstance(value, (tuple, list)):
        return (positive_int(name, value),)
    if not value:
        raise ValueError(f"{name} is {value!r}, but it must name at least one axis.")
    return tuple(positive_int(name, size) for size in value)


def misfit(x, wanted, name="x"):
    """The exception for an input that a norm cannot take; ``wanted`` says in words what the shape must be."""
    if not isinstance(x, torch.Tensor):
        return ValueError(f"{name} is {x!r}, but it must be a tensor.")
    if not x.is_floating_point():
        return ValueError(f"{name} has dtype {x.dtype}, but it must be a floating point tensor.")
    return ValueError(f"{name} has shape {tuple(x.shape)}, but {wanted}.")


def check_last_axes(x, shape, name="x"):
    """Raise unless ``x`` is a floating point tensor whose last axes are ``shape``."""
    if not isinstance(x, torch.Tensor) or x.shape[-len(shape) :] != shape or not x.is_floating_point():
        raise misfit(x, f"its last axes must be {shape}", name)


def check_channels(x, channels, position=""):
    """Raise unless ``x`` is a floating point tensor (N, channels, ...), with ``position`` an axis that must follow."""
    least = 3 if position else 2
    if not isinstance(x, torch.Tensor) or x.dim() < least or x.shape[1] != channels or not x.is_floating_point():
        raise misfit(x, f"it must be (N, {channels}, {position}...)")


class Affine(nn.Module):
    """A gain and an offset of one shape, either of them absent on demand. Subclasses call the reset at the end."""

    def __init__(self, shape, weight, bias, device=None, dtype=None):
        super().__init__()
        for name, wanted in (("weight", weight), ("bias", bias)):
            values = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, values)

    def reset_parameters(self):
        """Put gain and offset back to 1 and 0."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class RowNorm(Affine):
    """The last axes of each row by itself. A subclass says whether it ``is_rms``."""

    is_rms = False

    def __init__(self, normalized_shape, eps, elementwise_affine, bias, zero_centered_gain, device, dtype):
        shape = as_shape("normalized_shape", normalized_shape)
        affine, bias = flag("elementwise_affine", elementwise_affine), flag("bias", bias)
        super().__init__(shape, affine, affine and bias, device, dtype)
        self.normalized_shape = shape
        self.eps = None if eps is None else number("eps", eps, at_least=0)
        self.elementwise_affine = affine
        self.zero_centered_gain = flag("zero_centered_gain", zero_centered_gain)
        self.reset_parameters()

    def reset_parameters(self):
        super().reset_parameters()
        if self.zero_centered_gain and self.weight is not None:
            nn.init.zeros_(self.weight)

    def forward(self, x):
        check_last_axes(x, self.normalized_shape)
        return normalize_rows(
            x, self.normalized_shape, self.weight, self.bias, self.eps, self.is_rms, self.zero_centered_gain
        )

    def after_add(self, x, residual, prenorm):
        """``(y, s)``, or y alone if not ``prenorm``, of s = residual + x and y = self(s), for one normalized axis."""
        return add_norm(
            x,
            residual,
            self.weight,
            self.bias,
            norm="rms" if self.is_rms else "layer",
            eps=self.eps,
            prenorm=prenorm,
            zero_centered=self.zero_centered_gain,
        )

    def extra_repr(self):
        zero_centered = ", zero_centered_gain=True" if self.zero_centered_gain else ""
        shape = self.normalized_shape[0] if len(self.normalized_shape) == 1 else self.normalized_shape
        return f"{shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}{zero_centered}"
