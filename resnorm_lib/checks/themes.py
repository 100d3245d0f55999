"""Mistakes that any answer may contain, written once: every check inherits them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

__all__ = ["common", "with_other_arguments"]


def common(wanted: ndarray, arguments: list[ndarray], what: str) -> Iterator[tuple[ndarray, str]]:
    """Yield what common mistakes make of a result, and the sentence that names each.

    Examples
    --------
    >>> [sentence for result, sentence in common(np.array(4.0), [], "The size") if result == 16]
    ['The size is squared: a root is missing.']
    """
    yield -wanted, f"{what} has the wrong sign."
    with np.errstate(all="ignore"):
        yield wanted**2, f"{what} is squared: a root is missing."
        yield np.sqrt(np.abs(wanted)), f"{what} has a root too many."
        yield 1 / wanted, f"{what} is upside down: one over it is right."
    yield 2 * wanted, f"{what} is twice as large as it must be."
    yield wanted / 2, f"{what} is half as large as it must be."
    yield from _scaled(wanted, arguments, what)
    for number, argument in enumerate(arguments, 1):
        if argument.shape == wanted.shape:
            yield argument, f"{what} is argument {number} of the answer, unchanged."
    if wanted.ndim > 1:
        yield np.swapaxes(wanted, 0, 1), f"{what} is transposed: its first two axes are exchanged."
    if wanted.ndim:
        yield wanted[::-1], f"{what} has its entries in the opposite order."
        yield wanted.sum(), f"{what} is summed up to one number: each entry is wanted."
        yield wanted[-1], f"{what} is its last entry alone: all are wanted."
    yield np.zeros_like(wanted), f"{what} is 0."
    yield np.zeros_like(wanted) + np.nan, f"{what} is not a number: is something divided by 0, or a negative root?"


def _scaled(wanted: ndarray, arguments: list[ndarray], what: str) -> Iterator[tuple[ndarray, str]]:
    """Yield sums in the place of means and means in the place of sums, along each axis of the arguments."""
    lengths = {argument.shape[axis] for argument in arguments for axis in range(argument.ndim)}
    lengths |= {argument.size for argument in arguments}
    for length in sorted(lengths - {1, 2}):
        yield wanted * length, f"{what} is {length} times as large as it must be: a sum in the place of a mean?"
        yield wanted / length, f"{what} is {length} times too small: a mean in the place of a sum?"
        yield wanted * length / (length - 1), f"{what} is divided by {length - 1}, but it must be by {length}."
        yield wanted * (length - 1) / length, f"{what} is divided by {length}, but it must be by {length - 1}."


def with_other_arguments(right: Callable, arguments: tuple, what: str) -> Iterator[tuple[Any, str]]:
    """Yield the right results of wrong arguments: one step off, or two of a kind exchanged."""
    for place, value in enumerate(arguments):
        for step, words in ((1, "one step more"), (-1, "one step fewer")) if type(value) is int else ():
            yield from _tried(right, _put(arguments, {place: value + step}), f"{what} is that of {words}.")
    for first in range(len(arguments)):
        for second in range(first + 1, len(arguments)):
            if _alike(arguments[first], arguments[second]):
                swapped = _put(arguments, {first: arguments[second], second: arguments[first]})
                sentence = f"{what} is that of arguments {first + 1} and {second + 1} exchanged."
                yield from _tried(right, swapped, sentence)


def _put(arguments: tuple, new: dict[int, Any]) -> tuple:
    return tuple(new.get(place, value) for place, value in enumerate(arguments))


def _alike(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return one.shape == other.shape
    return isinstance(one, int | float) and isinstance(other, int | float)


def _tried(right: Callable, arguments: tuple, sentence: str) -> Iterator[tuple[Any, str]]:
    """Yield nothing where the other arguments make no sense."""
    try:
        yield right(*arguments), sentence
    except Exception:
        return
