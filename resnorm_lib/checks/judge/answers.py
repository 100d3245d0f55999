"""What all checks share: call the answer, compare with what is expected, and word the difference."""

import inspect
import itertools
import re
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnorm_lib.checks.judge import themes
from resnorm_lib.checks.judge.arguments import gradients, overwritten, structure, values
from resnorm_lib.checks.judge.face import current
from resnorm_lib.checks.judge.rules import watched

__all__ = ["REBUILT", "TOLERANCE", "Wrong", "agree", "call", "expect_close", "several", "shown_wrong", "to_array"]

TOLERANCE = 2e-5  # relative to the largest entry: what rounding does to a short computation in float32, with room

HIDDEN = (
    "Right on the examples of the check, and wrong on others that were drawn: other shapes and numbers, float32 as "
    "well as float64. Is something fitted to the examples?"
)
REBUILT = "The answer replaces, removes or adds parts of a module that it was given, or lets two modules share one."

OTHER_DTYPE = "(Arguments are float64, or float32: a new tensor takes their dtype, as in torch.eye(d, dtype=x.dtype).)"
_DTYPES = re.compile(r"same dtype|scalar type|type \(.*should be the same")  # as torch words it


class Wrong(AssertionError):
    """An answer to an exercise is wrong; the message says how."""


def shown_wrong(sentence: str, otherwise: str = HIDDEN) -> Wrong:
    """Return the error with a sentence that says what is expected, or was drawn; the hidden face says another one."""
    return Wrong(otherwise if current().hidden else sentence)


def call(answer: Callable, *arguments: Any, changes: tuple[int, ...] = (), at: tuple[int, ...] = ()) -> Any:
    """Return ``answer(*arguments)``; the hidden face turns arrays and tensors in float64 into its own dtype first.

    Parameters
    ----------
    changes : tuple of int
        Which arguments the answer is to change; then it need not return anything.
    at : tuple of int
        At which arguments the gradient of the result is wanted; then a pair is returned, of the result and of what
        ``resnorm_lib.checks.judge.arguments.gradients`` says. An answer that runs elsewhere gives them from there.

    Raises
    ------
    Wrong
        If the answer is not written yet, raises an error of its own (the sentence names its line), returns nothing,
        changes another argument, or does what the exercise rules out.
    """
    arguments = tuple(_cast(each, current().dtype) for each in arguments)
    current().asked = arguments
    before, parts = values(arguments), structure(arguments)
    slopes, elsewhere = None, hasattr(type(answer), "with_gradients")  # then it is watched there
    try:
        if at and elsewhere:
            result, slopes = answer.with_gradients(at, *arguments)
        else:
            with watched(() if elsewhere else current().without) as broken:
                result = answer(*arguments)
            if broken:
                raise Wrong(broken[0])
            slopes = gradients(result, [arguments[place] for place in at]) if at else None
    except Wrong:
        raise
    except NotImplementedError:
        raise Wrong("There is no answer yet: replace the line that raises NotImplementedError.") from None
    except Exception as error:
        told = f"The answer raises {type(error).__name__}{_place(error)}"
        told = f"{told}, with arguments that were drawn." if current().hidden else f"{told}: {error}"
        raise Wrong(f"{told} {OTHER_DTYPE}" if _DTYPES.search(str(error)) else told) from error
    if (result is None or result is ...) and not changes:
        raise Wrong("The answer returns nothing: does it end with return?")
    if structure(arguments) != parts:
        raise Wrong(REBUILT)
    if any(_is_kept(path, arguments, changes) for path in overwritten(before, arguments)):
        raise Wrong("The answer changes its argument in place: whoever still needs it finds another one.")
    return (result, slopes) if at else result


def _place(error: Exception) -> str:
    """Return where in the answer an error was raised, as a part of a sentence."""
    if number := getattr(error, "line", None):
        return f" in line {number}"
    line = traceback.extract_tb(error.__traceback__)[1:2]
    return f" in the line `{line[0].line}`" if line and line[0].line else ""


def _is_kept(path: str, arguments: tuple, changes: tuple[int, ...]) -> bool:
    """Say whether what a path leads to must stay: the statistics of a module may move when it is called."""
    number = int(path.split(".")[1])
    if number in changes:
        return False
    if not isinstance(arguments[number], nn.Module):
        return True
    return path.split(".", 2)[2] in dict(arguments[number].named_parameters())


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Return float64 arrays and tensors, and functions of such, in another dtype; the rest as it is."""
    if dtype == torch.float64 or isinstance(value, nn.Module | str):
        return value
    if isinstance(value, Tensor):
        return value.to(dtype) if value.dtype == torch.float64 else value
    if isinstance(value, np.ndarray):
        return value.astype(np.float32) if value.dtype == np.float64 else value
    if type(value) in (list, tuple):
        return type(value)(_cast(each, dtype) for each in value)
    if inspect.isfunction(value):
        return lambda *arguments: _cast(value(*(_widen(each) for each in arguments)), dtype)
    return value


def _widen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return value.astype(np.float64) if isinstance(value, np.ndarray) else value


def several(result: Any, *names: str) -> tuple:
    """Return the parts of a result that must have as many as there are names: a tuple, a list, an array or a tensor.

    Raises
    ------
    Wrong
        If it has not.

    Examples
    --------
    >>> several([1, 2], "mean", "variance")
    (1, 2)
    """
    parts = isinstance(result, tuple | list) or getattr(result, "ndim", 0) > 0
    if not parts or len(result) != len(names):
        raise Wrong(f"The answer must return {len(names)} values: {', '.join(names)}.")
    return tuple(result)


def to_array(value: Any) -> np.ndarray:
    """Return a number, an array, a tensor of any dtype, or a list of these as a float64 array.

    Raises
    ------
    Wrong
        If the value holds anything but numbers, or rows of unequal length.

    Examples
    --------
    >>> to_array([1, np.float32(0.5)])
    array([1. , 0.5])
    """
    try:
        if isinstance(value, tuple | list):
            return np.asarray([to_array(part) for part in value], dtype=np.float64)
        return np.asarray(value.detach().cpu().double() if hasattr(value, "detach") else value, dtype=np.float64)
    except (TypeError, ValueError):
        what = type(value).__name__ if current().hidden else f"{value!r:.60}"
        raise Wrong(f"The answer must return numbers, an array or a tensor, not {what}.") from None


def expect_close(
    got: Any,
    wanted: Any,
    what: str,
    mistakes: Iterable[tuple[Any, str]] = (),
    tolerance: float = TOLERANCE,
) -> None:
    """Compare an answer's result with the expected one, and with those of known mistakes.

    Parameters
    ----------
    got, wanted : number, array or tensor
    what : str
        What is compared, as the subject of a sentence: "The output".
    mistakes : iterable of (array, str)
        What a known mistake would have given, and the sentence that names the mistake. Those that any answer may
        contain (:mod:`resnorm_lib.checks.judge.themes`) are tried after them, on what the answer was called with last.
    tolerance : float
        Largest difference, relative to the largest entry of ``wanted``.

    Raises
    ------
    Wrong
        If shape or values differ. Only the visible face says by how much.

    Examples
    --------
    >>> expect_close(3.0, 4.0, "The sum", mistakes=[(3.0, "One term is missing.")])
    Traceback (most recent call last):
        ...
    resnorm_lib.checks.judge.answers.Wrong: One term is missing.
    """
    got, wanted = to_array(got), to_array(wanted)
    if got.shape != wanted.shape and got.size == wanted.size == 1:
        got = got.reshape(wanted.shape)
    if agree(got, wanted, tolerance):
        return
    for result, sentence in itertools.chain(mistakes, themes.of(wanted, current(), what)):
        result = to_array(result)
        if _is_one(got, result, wanted, tolerance) and not agree(result, wanted, tolerance):
            raise Wrong(sentence)
    if current().hidden:
        raise shown_wrong("")
    if got.shape != wanted.shape:
        raise Wrong(f"{what} has shape {got.shape}, but it must be {wanted.shape}.")
    place = np.unravel_index(np.argmax(np.where(np.isnan(got), np.inf, np.abs(got - wanted))), got.shape)
    where = f" at {tuple(int(i) for i in place)}" if place else ""
    raise Wrong(f"{what} is {got[place]:.6g}{where}, but it must be {wanted[place]:.6g}.")


def _is_one(got: np.ndarray, result: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Say whether an answer is what a mistake gives; what gives zeros is compared on the scale of the wanted result."""
    if result.any() or got.shape != result.shape:
        return agree(got, result, tolerance)
    return bool((np.abs(got) <= tolerance * np.abs(wanted).max(initial=0.0)).all())


def agree(got: Any, wanted: Any, tolerance: float = TOLERANCE) -> bool:
    """Say whether numbers have the same shape and differ by no more than the tolerance times the largest wanted entry.

    Raises
    ------
    Wrong
        If one of them is no number and no array of numbers.

    Examples
    --------
    >>> agree([1.0, 1000.0], [1.01, 1000.0]), agree([1.0], 1.0)
    (True, False)
    """
    got, wanted = to_array(got), to_array(wanted)
    scale = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)) or 1.0
    return got.shape == wanted.shape and bool(np.allclose(got, wanted, rtol=0, atol=tolerance * scale, equal_nan=True))
