"""Checks of arguments. Each returns the value, or raises a sentence that names the argument and what it must be."""

import numbers
from collections.abc import Collection
from difflib import get_close_matches


def positive_int(name: str, value: int, at_least: int = 1) -> int:
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise ValueError(f"{name} is {value!r}, but it must be an integer.")
    if value < at_least:
        raise ValueError(f"{name} is {value}, but it must be at least {at_least}.")
    return int(value)


def number(name: str, value: float, at_least: float | None = None, at_most: float | None = None) -> float:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise ValueError(f"{name} is {value!r}, but it must be a number.")
    if (at_least is not None and not value >= at_least) or (at_most is not None and not value <= at_most):
        span = f"at least {at_least}" if at_most is None else f"between {at_least} and {at_most}"
        raise ValueError(f"{name} is {value}, but it must be {span}.")
    return float(value)


def choice(name: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        close = get_close_matches(str(value), list(allowed), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name} is {value!r}, but it must be one of {', '.join(map(repr, allowed))}.{hint}")
    return value


def flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, but it must be True or False.")
    return value
