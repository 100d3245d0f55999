"""The norms by name, and one function that builds a norm from a name, a class or any other callable."""

import inspect
from collections.abc import Callable

from torch import nn

from resnorm_lib._arguments import choice, positive_int

__all__ = ["NORMS", "make_norm", "named"]

NORMS: dict[str, Callable[..., nn.Module]] = {}
Norm = str | Callable[..., nn.Module] | None  # what ``norm=`` takes


def named(name: str) -> Callable:
    """Return a decorator that puts a class, or a function of the number of features, into ``NORMS`` under ``name``."""

    def register(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if NORMS.get(name, build).__qualname__ != build.__qualname__:
            raise ValueError(f"name is {name!r}, but {NORMS[name].__qualname__} has that name already.")
        NORMS[name] = build
        return build

    return register


def names() -> str:
    """Return a bulleted list in reStructuredText: each name, and the first line of what is said about its norm."""
    return "\n".join(f"- ``{name}``: {inspect.getdoc(build).splitlines()[0]}" for name, build in NORMS.items())


@named("none")
def identity(dim: int) -> nn.Module:
    """No norm: the identity."""
    positive_int("dim", dim)
    return nn.Identity()


def make_norm(norm: Norm, dim: int, **options) -> nn.Module:
    """Build a norm for ``dim`` features.

    Parameters
    ----------
    norm : str, class, callable or None
        A name of :data:`resnorm_lib.norms.NORMS`; or anything that builds a module from a number of features, such as
        ``nn.LayerNorm``, ``partial(RMSNorm, eps=1e-6)`` or ``partial(GroupNorm, 8)``; or None for no norm.
    dim : int
        Number of features (channels where a norm takes the second axis).
    **options
        Passed on to ``norm``, for instance ``eps=1e-6``.

    Raises
    ------
    ValueError
        If the name is unknown, if the norm of this name has no such option (the message lists those that exist), if
        ``norm`` cannot be called, or if calling it does not return a module.

    Examples
    --------
    >>> make_norm("rms", 8, eps=1e-6)
    RMSNorm((8,), eps=1e-06, elementwise_affine=True)
    >>> make_norm(lambda dim: nn.GroupNorm(2, dim), 8).num_groups
    2
    """
    if norm is None:
        norm = "none"
    if isinstance(norm, str):
        build = NORMS[choice("norm", norm, NORMS)]
        _check_options(norm, build, options)
        return build(dim, **options)
    if isinstance(norm, nn.Module) or not callable(norm):
        wanted = "a name, a class or a function that builds a module from a number of features, or None"
        raise ValueError(f"norm is {norm!r}, but it must be {wanted}.")
    module = norm(dim, **options)
    if not isinstance(module, nn.Module):
        raise ValueError(f"norm is {norm!r}, which returns {module!r} for {dim} features, but it must return a module.")
    return module


def _check_options(name: str, build: Callable[..., nn.Module], options: dict) -> None:
    known = list(inspect.signature(build).parameters)[1:]
    for option in options:
        if option not in known:
            offered = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{option} is no option of the norm {name!r}: {offered}.")
