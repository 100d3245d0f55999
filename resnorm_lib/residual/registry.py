"""The schemes by name, and one function that finds the class behind a name, a class or a partial of a class."""

import inspect
from collections.abc import Callable
from functools import partial

from resnorm_lib._arguments import choice
from resnorm_lib.norms.registry import NORMS

__all__ = ["SCHEMES", "named", "resolve_scheme", "scheme_table"]

SCHEMES: dict[str, type] = {}


def named(name: str, formula: str, identity_path: str) -> Callable:
    """Return a decorator that puts a class into ``SCHEMES`` under ``name``.

    The formula (LaTeX) and what happens to the identity path make up the row of the class in the documentation.
    """

    def register(scheme: type) -> type:
        if SCHEMES.get(name, scheme).__qualname__ != scheme.__qualname__:
            raise ValueError(f"name is {name!r}, but {SCHEMES[name].__qualname__} has that name already.")
        scheme.formula, scheme.identity_path = formula, identity_path
        SCHEMES[name] = scheme
        return scheme

    return register


def scheme_table() -> str:
    """Return a table in reStructuredText: name, formula and identity path of every scheme."""
    head = ("scheme", "formula", "identity path")
    rows = [(f"``{name}``", f":math:`{s.formula}`", s.identity_path) for name, s in SCHEMES.items()]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (head, *rows)]
    return "\n".join((rule, lines[0], rule, *lines[1:], rule))


def resolve_scheme(scheme: str | type | partial, options: dict) -> tuple[type, dict]:
    """Return the class that ``scheme`` means and all its options, those of a partial included.

    Raises
    ------
    ValueError
        If ``scheme`` is no name, class of schemes or partial of one, or if the class has no such option.
    """
    called = scheme
    while isinstance(scheme, partial):
        scheme, options = scheme.func, scheme.keywords | options
    if isinstance(scheme, str):
        scheme = SCHEMES[choice("scheme", scheme, SCHEMES)]
    if not (isinstance(scheme, type) and hasattr(scheme, "widths")):
        message = f"scheme is {called!r}, but it must be a name, a subclass of Scheme or a partial of one."
        if callable(scheme) and not isinstance(scheme, type):
            message += (
                " A function hides the class, of which a model asks how wide the branches are: instead of "
                "lambda *given: LayerScale(*given, initial=0.1) write partial(LayerScale, initial=0.1), or a subclass."
            )
        raise ValueError(message)
    known = [key for key, value in inspect.signature(scheme).parameters.items() if value.kind is value.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            shown = called if isinstance(called, str) else scheme.__name__
            raise ValueError(
                f"the scheme {shown!r} has no option {option!r}; its options: {', '.join(known) or 'none'}."
                f"{_of_a_norm(option)}"
            )
    return scheme, options


def _of_a_norm(option: str) -> str:
    """Return a sentence that says how a norm is given an option, or nothing if no norm has it."""
    having = {name: norm for name, norm in NORMS.items() if option in inspect.signature(norm).parameters}
    if not having:
        return ""
    norm = having.get("rms") or next(iter(having.values()))
    return f" It is one of norms, and is given with the norm's class: norm=partial({norm.__name__}, {option}=...)."
