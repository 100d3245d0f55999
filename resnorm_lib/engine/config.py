"""Configs of experiments: frozen dataclasses whose fields a reader may set by name."""

import ast
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from resnorm_lib._arguments import choice

__all__ = ["parse_duration", "parse_settings", "with_settings"]

T = TypeVar("T")


def with_settings(config: T, **settings) -> T:
    """Return the config with some fields changed.

    Raises
    ------
    ValueError
        If there is no such field, or the value is of another kind than the one it replaces.
    """
    known = {field.name: getattr(config, field.name) for field in fields(config)}
    for name, value in settings.items():
        choice("setting", name, known)
        settings[name] = _like(name, known[name], value)
    return replace(config, **settings)


def _like(name: str, old: Any, value: Any) -> Any:
    """Return ``value`` if it has the type of ``old``. An integer passes for a float, and a list for a tuple."""
    if isinstance(old, tuple):
        if not isinstance(value, (list, tuple)) or (old and not value):
            raise ValueError(f"{name} is {value!r}, but it must be a list such as {_shown(old)}.")
        return tuple(_like(f"{name}[{i}]", old[0], item) if old else item for i, item in enumerate(value))
    kinds = {float: (float, int)}.get(type(old), (type(old),))
    if old is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(old, bool))):
        raise ValueError(f"{name} is {value!r}, but it must be of the kind of {old!r} ({type(old).__name__}).")
    return float(value) if isinstance(old, float) else value


def _shown(values: Sequence) -> str:
    return "[" + ", ".join(map(repr, values)) + "]"


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Turn ``["epochs=3", "depths=[2, 4]", "norm=layer"]`` into a dictionary.

    Raises
    ------
    ValueError
        If one has no equals sign.

    Examples
    --------
    >>> parse_settings(["epochs=3", "depths=[2, 4]", "norm=layer", "amp=False"])
    {'epochs': 3, 'depths': [2, 4], 'norm': 'layer', 'amp': False}
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set got {text!r}, but it must be name=value, for instance --set epochs=3.")
        try:
            settings[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            settings[name.strip()] = value.strip()  # a bare word is a string
    return settings


def parse_duration(text: str) -> float:
    """Return seconds of ``"90"``, ``"90s"``, ``"9m"`` or ``"1h"``.

    Raises
    ------
    ValueError
        If it is none of these, or not above 0.

    Examples
    --------
    >>> parse_duration("9m")
    540.0
    """
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"the duration is {text!r}, but it must be a number above 0 with s, m or h: 90s, 9m, 1h.")
    return seconds
