"""What all checks share: call the answer, compare with what is expected, and word the difference."""

import traceback

import numpy as np

__all__ = ["Wrong", "call", "expect_close", "several", "to_array"]


class Wrong(AssertionError):
    """An answer to an exercise is wrong; the message says how."""


def call(answer, *arguments):
    """Return ``answer(*arguments)``.

    Raises
    ------
    Wrong
        If the answer is not written yet, raises an error of its own (the sentence names its line), or returns nothing.
    """
    try:
        result = answer(*arguments)
    except NotImplementedError:
        raise Wrong("There is no answer yet: replace the line that raises NotImplementedError.") from None
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[1:2]
        place = f" in the line `{line[0].line}`" if line and line[0].line else ""
        raise Wrong(f"The answer raises {type(error).__name__}{place}: {error}") from error
    if result is None or result is ...:
        raise Wrong("The answer returns nothing: does it end with return?")
    return result


def to_array(value: object) -> np.ndarray:
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
        raise Wrong(f"The answer must return numbers, an array or a tensor, not {value!r:.60}.") from None


def several(result: object, *names: str) -> tuple:
    """Return the parts of an answer that consists of several values, be it a tuple, a list or one stacked array.

    Raises
    ------
    Wrong
        If there are more or fewer parts than ``names``.

    Examples
    --------
    >>> several([2.0, 1.0], "mean", "variance")
    (2.0, 1.0)
    """
    parts = isinstance(result, tuple | list) or getattr(result, "ndim", 0) > 0
    if not parts or len(result) != len(names):
        raise Wrong(f"The answer must return {len(names)} values: {', '.join(names)}.")
    return tuple(result)


def expect_close(got, wanted, what, mistakes=(), tolerance=1e-6):
    """Compare an answer's result with the expected one, and with those of known mistakes.

    Parameters
    ----------
    got, wanted : number, array or tensor
    what : str
        What is compared, as the subject of a sentence: "The output".
    mistakes : iterable of (array, str)
        What a known mistake would have given, and the sentence that names the mistake.
    tolerance : float
        Largest difference, relative to the largest entry of ``wanted``.

    Raises
    ------
    Wrong
        If shape or values differ.

    Examples
    --------
    >>> expect_close(3.0, 4.0, "The sum", mistakes=[(3.0, "One term is missing.")])
    Traceback (most recent call last):
        ...
    resnorm_lib.checks.answers.Wrong: One term is missing.
    """
    got, wanted = to_array(got), to_array(wanted)
    if got.shape != wanted.shape:
        raise Wrong(f"{what} has shape {got.shape}, but it must be {wanted.shape}.")
    if _agree(got, wanted, tolerance):
        return
    for result, sentence in mistakes:
        result = to_array(result)
        if result.shape == got.shape and _agree(got, result, tolerance):
            raise Wrong(sentence)
    place = np.unravel_index(np.argmax(np.where(np.isnan(got), np.inf, np.abs(got - wanted))), got.shape)
    where = f" at {tuple(int(i) for i in place)}" if place else ""
    raise Wrong(f"{what} is {got[place]:.6g}{where}, but it must be {wanted[place]:.6g}.")


def _agree(got, wanted, tolerance):
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    return bool(np.allclose(got, wanted, rtol=0, atol=tolerance * scale, equal_nan=True))
