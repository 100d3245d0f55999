"""Checks of the tensors that an operation is given. Each error is a sentence that says what the tensor must be."""

from torch import Tensor
from torch.fx import Proxy

__all__ = ["check_parameter", "check_same_shape", "check_shapes", "describe", "is_floating", "shape_error"]


def is_floating(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def describe(value: object) -> str:
    """Return shape, dtype and device of a tensor in words, or the value itself where it is none."""
    if not isinstance(value, Tensor):
        return f"is {value!r}"
    return f"has shape {tuple(value.shape)}, {value.dtype} and lies on {value.device}"


def shape_error(x: object, wanted: str, name: str = "x") -> ValueError:
    """Return the exception for an input that a norm cannot take; ``wanted`` says what its shape must be."""
    if isinstance(x, Proxy):
        return ValueError(
            "torch.fx.symbolic_trace cannot follow the checks of a norm: use torch.export.export, or a Tracer whose "
            "is_leaf_module takes the classes of resnorm_lib.norms."
        )
    if not isinstance(x, Tensor):
        return ValueError(f"{name} is {x!r}, but it must be a tensor.")
    if not x.is_floating_point():
        return ValueError(f"{name} has dtype {x.dtype}, but it must be a floating point tensor.")
    return ValueError(f"{name} has shape {tuple(x.shape)}, but {wanted}.")


def check_parameter(name: str, parameter: Tensor | None, x: Tensor, length: int, hint: str = "") -> None:
    """Raise unless ``parameter`` is None or a vector of ``length`` numbers on the device of ``x``."""
    if parameter is None:
        return
    # Said in one line, for each call asks it: is_floating() would take as long as all the rest.
    fits = isinstance(parameter, Tensor) and parameter.is_floating_point() and parameter.shape == (length,)
    if not fits or parameter.device != x.device:
        raise ValueError(
            f"{name} {describe(parameter)}, but it must be a floating point tensor ({length},) on {x.device}{hint}."
        )


def check_shapes(shape: tuple[int, ...], **parameters: Tensor | None) -> None:
    """Raise unless each parameter is None or has this shape: a kernel would read past one that is too short.

    For modules, whose own parameters fit, but may have been replaced.
    """
    for name, parameter in parameters.items():
        if parameter is not None and parameter.shape != shape:
            raise ValueError(f"{name} has shape {tuple(parameter.shape)}, but it must have {tuple(shape)}.")


def check_same_shape(x: Tensor, residual: object) -> None:
    """Raise unless a branch ``x`` can be added to the stream ``residual`` without broadcasting."""
    if not is_floating(residual):
        raise ValueError(f"residual {describe(residual)}, but it must be a floating point tensor of the shape of x.")
    if residual.shape != x.shape or residual.device != x.device:
        raise ValueError(
            f"x has shape {tuple(x.shape)} on {x.device}, but residual has {tuple(residual.shape)} on "
            f"{residual.device}: a residual add never broadcasts."
        )
