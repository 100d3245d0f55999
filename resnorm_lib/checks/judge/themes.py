"""Mistakes that any answer may contain, written once: every check inherits them."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.slips import slips

__all__ = ["common", "of", "wrong_results"]


def of(wanted: ndarray, face: Draw, what: str) -> Iterator[tuple[ndarray, str]]:
    """Yield what common mistakes make of a result, and the sentence that names each, for the check that is at work.

    First come those that are made from a right answer, then those of the result alone.
    """
    if face.hidden and re.search(r"\d", what):  # nobody is told what was drawn
        what = re.split(r" (?:for|at|with|after|of|from|in|relative)\b", what)[0]
        what = "The result" if re.search(r"\d", what) else what
    arguments = tuple(torch.from_numpy(each) if isinstance(each, ndarray) else each for each in face.asked)
    if face.right:
        yield from _parts(face.right, arguments, wanted, what)
    names = list(_names(face.right, arguments))
    arrays = [(name, np.asarray(value.detach().double() if isinstance(value, Tensor) else value, dtype=np.float64))
              for name, value in zip(names, arguments) if _is_numbers(value)]  # fmt: skip
    yield from common(wanted, arrays, what, lengths=not face.hidden)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(right: Callable | None, arguments: tuple) -> Iterator[str]:
    """Yield how each argument is called, as a right answer does."""
    known = list(inspect.signature(right).parameters) if right else []
    for place in range(len(arguments)):
        yield known[place] if place < len(known) else f"argument {place + 1}"


def _parts(right: Callable, arguments: tuple, wanted: ndarray, what: str) -> Iterator[tuple[ndarray, str]]:
    """Yield what mistakes make of that one of a right answer's results that is wanted."""
    try:
        results = [*_flat(right(*arguments))]
    except Exception:  # the check has made something of the answer, and called that
        return
    place = next((place for place, each in enumerate(results) if _equal(each, wanted)), None)
    if place is None:
        return
    for number, other in enumerate(results):
        if number != place:
            yield other, f"{what} is another one of the results: they come in another order."
    for wrong, sentence in wrong_results(right, arguments, what):
        wrong = [*_flat(wrong)]
        if len(wrong) == len(results):
            yield wrong[place], sentence


def _flat(result: Any) -> Iterator[ndarray]:
    """Yield each of several results, and all of them as one array where they have one shape."""
    if not isinstance(result, tuple | list):
        yield np.asarray(result.detach().double() if isinstance(result, Tensor) else result, dtype=np.float64)
        return
    parts = [[*_flat(each)] for each in result]
    yield from (each for part in parts for each in part)
    if len({part[-1].shape for part in parts}) == 1:
        yield np.stack([part[-1] for part in parts])


def _equal(one: ndarray, other: ndarray) -> bool:
    scale = np.abs(other[np.isfinite(other)]).max(initial=0.0) or 1.0
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=1e-4 * scale, equal_nan=True)


def wrong_results(right: Callable, arguments: tuple, what: str) -> Iterator[tuple[Any, str]]:
    """Yield the results of wrong answers that are made from a right one, and the sentence that names each mistake.

    Arguments are ignored, exchanged, or one step off; and within the function an axis is another, ``eps`` stands
    outside the root, a root, a ReLU or a transposition is missing (:mod:`resnorm_lib.checks.judge.slips`). What is no
    array of real numbers is left out.
    """
    for result, sentence in _made(right, arguments, what):
        try:
            [*_flat(result)]
        except (TypeError, ValueError):
            continue
        yield result, sentence


def _made(right: Callable, arguments: tuple, what: str) -> Iterator[tuple[Any, str]]:
    names = list(_names(right, arguments))
    for place, (name, value) in enumerate(zip(names, arguments)):
        for other, words in _others(name, value):
            yield from _tried(right, _put(arguments, {place: other}), f"{what} is {words}.")
    for first in range(len(arguments)):
        for second in range(first + 1, len(arguments)):
            if _alike(arguments[first], arguments[second]):
                swapped = _put(arguments, {first: arguments[second], second: arguments[first]})
                yield from _tried(right, swapped, f"{what} is that of {names[first]} and {names[second]} exchanged.")
    yield from slips(right, arguments, names, what)


def _others(name: str, value: Any) -> Iterator[tuple[Any, str]]:
    """Yield other values of an argument, and what a result for one of them is."""
    if type(value) is int:
        yield value + 1, f"that of {name} + 1: one step more"
        yield value - 1, f"that of {name} - 1: one step fewer"
        yield 1, f"that of {name} = 1: it is ignored, or a factor is missing"
    elif type(value) is float:
        yield 0.0, f"that of {name} = 0: it is ignored, or its term is missing"
        yield 1.0, f"that of {name} = 1: it is ignored, or a factor is missing"
    elif isinstance(value, Tensor) and value.dtype == torch.bool:
        yield torch.ones_like(value), f"that of a {name} that is True everywhere: it is ignored"
        yield ~value, f"that of {name} with True and False exchanged"
    elif isinstance(value, Tensor) and value.is_floating_point():
        yield torch.zeros_like(value), f"that of a {name} of zeros: it is ignored, or its term is missing"
        yield torch.ones_like(value), f"that of a {name} of ones: it is ignored, or a factor is missing"


def _put(arguments: tuple, new: dict[int, Any]) -> tuple:
    return tuple(new.get(place, value) for place, value in enumerate(arguments))


def _alike(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return one.shape == other.shape and one.dtype == other.dtype
    return isinstance(one, int | float) and isinstance(other, int | float)


def _tried(right: Callable, arguments: tuple, sentence: str) -> Iterator[tuple[Any, str]]:
    """Yield nothing where the other arguments make no sense."""
    try:
        yield right(*arguments), sentence
    except Exception:
        return


def common(
    wanted: ndarray, arguments: Sequence[tuple[str, ndarray]], what: str, lengths: bool = True
) -> Iterator[tuple[ndarray, str]]:
    """Yield what common mistakes make of a result, and the sentence that names each.

    Parameters
    ----------
    arguments : sequence of (str, array)
        The numbers with which the answer was called, and how they are called.
    lengths : bool
        Whether a sentence may say how long an axis is.

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
    yield from _scaled(wanted, [argument for _, argument in arguments], what, lengths)
    for name, argument in arguments:
        if argument.shape == wanted.shape:
            yield argument, f"{what} is {name}, unchanged."
        yield from _joined(wanted, name, argument, what)
    yield wanted + 1, f"{what} is larger by 1 than it must be."
    yield wanted - 1, f"{what} is smaller by 1 than it must be."
    if wanted.ndim > 1:
        yield np.swapaxes(wanted, 0, 1), f"{what} is transposed: its first two axes are exchanged."
    if wanted.ndim:
        yield wanted[::-1], f"{what} has its entries in the opposite order."
        yield wanted.sum(), f"{what} is summed up to one number: each entry is wanted."
        yield wanted[-1:].reshape(wanted.shape[1:]), f"{what} is its last entry alone: all are wanted."
    yield np.zeros_like(wanted), f"{what} is 0."
    yield np.zeros_like(wanted) + np.nan, f"{what} is not a number: is something divided by 0, or a negative root?"


def _joined(wanted: ndarray, name: str, argument: ndarray, what: str) -> Iterator[tuple[ndarray, str]]:
    """Yield the result with an argument multiplied or added once more or once less."""
    try:
        if np.broadcast_shapes(argument.shape, wanted.shape) != wanted.shape:
            return
    except ValueError:
        return
    yield wanted * argument, f"{what} is multiplied by {name} once too often."
    with np.errstate(all="ignore"):
        yield wanted / argument, f"{what} lacks the factor {name}."
    yield wanted + argument, f"{what} has {name} added once too often."
    yield wanted - argument, f"{what} lacks {name}, which is not added."


def _scaled(wanted: ndarray, arguments: list[ndarray], what: str, lengths: bool) -> Iterator[tuple[ndarray, str]]:
    """Yield sums in the place of means and means in the place of sums, along each axis of the arguments."""
    found = {argument.shape[axis] for argument in arguments for axis in range(argument.ndim)}
    found |= {argument.size for argument in arguments}
    for length in sorted(found - {0, 1, 2}):
        times, less = (length, length - 1) if lengths else ("n", "n - 1")
        yield wanted * length, f"{what} is {times} times as large as it must be: a sum in the place of a mean?"
        yield wanted / length, f"{what} is {times} times too small: a mean in the place of a sum?"
        yield wanted * length / (length - 1), f"{what} is divided by {less}, but it must be by {times}."
        yield wanted * (length - 1) / length, f"{what} is divided by {times}, but it must be by {less}."
