"""Right answers in other clothes, and wrong ones made from a right one, for any check."""

import itertools

import numpy as np
import torch

NUMBERS = int | float | np.generic | np.ndarray | torch.Tensor


def to_numpy(value):
    return np.asarray(value.detach().double() if isinstance(value, torch.Tensor) else value, dtype=np.float64)


def is_numbers(value):
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def each(change):
    """Return a change of a whole result from one of its parts; None where it does not fit one of them."""

    def changed(result):
        if isinstance(result, tuple | list):
            parts = [change(part) if is_numbers(part) else None for part in result]
            return None if not parts or any(part is None for part in parts) else type(result)(parts)
        return change(result) if is_numbers(result) else None

    return changed


def like(change):
    """Return a change of numbers that keeps what holds them: a tensor stays one, in its dtype."""

    def changed(value):
        made = change(to_numpy(value))
        return torch.as_tensor(made).to(value.dtype) if isinstance(value, torch.Tensor) else made

    return each(changed)


def pair(change):
    return lambda result: change(result) if isinstance(result, tuple) and all(map(is_numbers, result)) else None


def table(change, axes):
    return lambda result: like(change)(result) if deepest(result) >= axes else None


def deepest(result):
    """Return how many axes each part of a result has at least."""
    parts = result if isinstance(result, tuple | list) else [result]
    return min((to_numpy(part).ndim for part in parts if is_numbers(part)), default=0)


# What a right answer may return instead, and is right.
RIGHT = {
    "as lists": each(lambda value: to_numpy(value).tolist()),
    "as arrays": each(to_numpy),
    "as tensors": each(lambda value: torch.as_tensor(to_numpy(value))),
    "in float32": each(lambda value: np.float32(to_numpy(value)) if abs(to_numpy(value)).max() < 1e6 else value),
}

# What makes a wrong result of a right one, on all arguments on which it makes a difference.
WRONG = {
    "wrong sign": like(np.negative),
    "twice": like(lambda value: 2 * value),
    "half": like(lambda value: value / 2),
    "squared": like(np.square),
    "root": like(lambda value: np.sqrt(abs(value))),
    "upside down": like(lambda value: 1 / np.where(value == 0, 1, value)),
    "one more": like(lambda value: value + 1),
    "nothing": like(np.zeros_like),
    "not a number": like(lambda value: value * np.nan),
    "opposite order": pair(lambda result: result[::-1]),
    "first result alone": pair(lambda result: result[0]),
    "transposed": table(lambda value: np.swapaxes(value, 0, 1).copy(), 2),
    "reversed": table(lambda value: value[::-1].copy(), 1),
    "summed": table(np.sum, 1),
    "text": lambda result: "no number",
    "none of it": lambda result: None,
}


def returning(right, change):
    """Return an answer that changes what the right one returns."""
    return lambda *arguments: change(right(*arguments))


def in_place(right):
    """Return a right answer that overwrites its first array or tensor afterwards."""

    def answer(*arguments):
        result = right(*arguments)
        found = [each for each in arguments if isinstance(each, np.ndarray | torch.Tensor) and each.size]
        if not found:
            raise Inapplicable
        found[0][...] = 7
        return result

    return answer


def stubborn(right):
    """Return an answer that knows the arguments of its first call alone."""
    first = []

    def answer(*arguments):
        first[:] = first or [right(*arguments)]
        return first[0]

    return answer


def replayed(right, check):
    """Return a classmate's results, in the order in which the check asked for them."""
    seen = []
    check(lambda *arguments: seen.append(right(*arguments)) or seen[-1])
    results = itertools.cycle(seen)
    return lambda *_: next(results)


class Inapplicable(Exception):
    """A variant makes no sense for this answer."""
