"""Checks of arrays that all reference functions share."""

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike


def as_float64(name: str, values: ArrayLike, ndim: int | None = None) -> ndarray:
    """Return ``values`` as a float64 array, or raise a sentence that names the argument."""
    array = np.asarray(values, dtype=np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has {array.ndim} axes, but it must have {ndim}.")
    return array


def as_parameter(name: str, values: ArrayLike | None, num_features: int, default: float) -> ndarray:
    """Return a vector of ``num_features`` entries; ``None`` means that all are ``default``."""
    if values is None:
        return np.full(num_features, default, dtype=np.float64)
    array = as_float64(name, values)
    if array.shape != (num_features,):
        raise ValueError(f"{name} has shape {array.shape}, but x asks for ({num_features},).")
    return array


def check_gradient(dy: ArrayLike, shape: tuple[int, ...]) -> ndarray:
    """Return ``dy`` as float64 after comparing its shape with that of the output."""
    dy = as_float64("dy", dy)
    if dy.shape != shape:
        raise ValueError(f"dy has shape {dy.shape}, but y had shape {shape}.")
    return dy


def per_channel(vector: ndarray, ndim: int) -> ndarray:
    """Reshape (C,) so that it lines up with axis 1 of an array of ``ndim`` axes."""
    return vector.reshape((1, -1) + (1,) * (ndim - 2))
