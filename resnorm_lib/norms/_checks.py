"""Checks of what a norm is built from and of what it is given. Each raises a sentence that says what must be there."""

from collections.abc import Sequence

import torch

from resnorm_lib._arguments import positive_int
from resnorm_lib.ops._checks import shape_error


def as_shape(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """Return a positive int, or a sequence of positive ints, as a tuple."""
    if not isinstance(value, (tuple, list)):
        return (positive_int(name, value),)
    if not value:
        raise ValueError(f"{name} is {value!r}, but it must name at least one axis.")
    return tuple(positive_int(name, size) for size in value)


def check_last_axes(x: object, shape: tuple[int, ...], name: str = "x") -> None:
    """Raise unless ``x`` is a floating point tensor whose last axes are ``shape``."""
    if not isinstance(x, torch.Tensor) or x.shape[-len(shape) :] != shape or not x.is_floating_point():
        raise shape_error(x, f"its last axes must be {shape}", name)
