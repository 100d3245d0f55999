"""Slips: a right answer runs with one of its operations changed, which is what a common mistake computes.

Each slip is written once and works on every right answer that is made of torch's operations.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["slips"]

REDUCTIONS = {"mean", "sum", "var", "std", "var_mean", "amax", "softmax", "log_softmax", "cumsum", "cumprod", "argmax"}
SPREADS = {"var", "std", "var_mean"}
ROOTS = {"sqrt", "rsqrt"}
SUMS = {"add", "__add__", "__radd__"}
PRODUCTS = {"matmul", "__matmul__", "mm"}


class _Slip(TorchFunctionMode):
    """Run a function's operations as they are, and remember what there was to change."""

    def __init__(self) -> None:
        super().__init__()
        self.axes: set[tuple[int, tuple[int, ...]]] = set()  # number of axes, and which of them
        self.names: set[str] = set()

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(function, "__name__", "")
        self.names.add(name)
        kwargs = dict(kwargs or {})
        if name in REDUCTIONS and (axes := _axes(args, kwargs)) is not None:
            self.axes.add((args[0].ndim, axes))
        return self.run(name, function, args, kwargs)

    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        return function(*args, **kwargs)


def _axes(args: tuple, kwargs: dict) -> tuple[int, ...] | None:
    """Return over which axes a reduction runs, counted from 0; None where it runs over all of them."""
    axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if axes is None or isinstance(axes, bool) or not isinstance(args[0], Tensor):
        return None
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    return tuple(sorted(axis % args[0].ndim for axis in axes)) if args[0].ndim else None


class _OtherAxes(_Slip):
    def __init__(self, ndim: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
        super().__init__()
        self.change = ndim, old, new

    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        ndim, old, new = self.change
        if name in REDUCTIONS and _axes(args, kwargs) == old and args[0].ndim == ndim:
            new = new if len(new) > 1 else new[0]
            if "dim" in kwargs:
                kwargs["dim"] = new
            else:
                args = (args[0], new, *args[2:])
        return function(*args, **kwargs)


class _OtherCorrection(_Slip):
    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        if name in SPREADS:
            kwargs["correction"] = 1 - kwargs.get("correction", 1)
        return function(*args, **kwargs)


class _Left(_Slip):
    """Leave an operation of one argument away."""

    def __init__(self, left: str) -> None:
        super().__init__()
        self.left = left

    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        if name != self.left:
            return function(*args, **kwargs)
        return 1 / args[0] if name == "rsqrt" else args[0]


class _EpsOutside(_Slip):
    """Add eps behind the root."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps, self.under = eps, {}

    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        result = function(*args, **kwargs)
        if name in SUMS and isinstance(args[1], float) and args[1] == self.eps:
            self.under[id(result)] = result, args[0]
        elif name in ROOTS and id(args[0]) in self.under:
            outside = self.under[id(args[0])][1].sqrt() + self.eps
            return 1 / outside if name == "rsqrt" else outside
        return result


class _Transposed(_Slip):
    """Transpose the second factor of each product of square matrices."""

    def run(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        if name in PRODUCTS and args[1].ndim == 2 and args[1].shape[0] == args[1].shape[1]:
            args = args[0], args[1].T
        return function(*args, **kwargs)


def slips(right: Callable, arguments: tuple, names: list[str], what: str) -> Iterator[tuple[Any, str]]:
    """Yield what a right answer returns with an operation changed, and the sentence that names the mistake.

    Examples
    --------
    >>> import torch
    >>> def centred(x):
    ...     return x - x.mean(1, keepdim=True)
    >>> x = torch.tensor([[1.0, 2.0], [5.0, 9.0]])
    >>> wrong = x - x.mean(0, keepdim=True)
    >>> [sentence for result, sentence in slips(centred, (x,), ["x"], "The result") if torch.equal(result, wrong)]
    ['The result has a mean or a sum over another axis: axis 0 in the place of axis 1.']
    """
    with (seen := _Slip()):
        right(*arguments)
    for slip, sentence in _known(seen, dict(zip(names, arguments))):
        try:
            with slip:
                result = right(*arguments)
        except Exception:
            continue
        yield result, f"{what} {sentence}"


def _known(seen: _Slip, arguments: dict[str, Any]) -> Iterator[tuple[_Slip, str]]:
    """Yield what can slip in a function of which this was seen."""
    eps = arguments.get("eps")
    if isinstance(eps, float) and seen.names & ROOTS:
        yield _EpsOutside(eps), "has eps beside the root: it belongs under it."
    if seen.names & SPREADS:
        yield _OtherCorrection(), "has a variance that is divided by another number: by n - 1 in the place of n?"
    for name in sorted(seen.names & ROOTS):
        yield _Left(name), "lacks a root on the way: divide by the deviation, not by the variance."
    if "relu" in seen.names:
        yield _Left("relu"), "lacks a ReLU."
    if seen.names & PRODUCTS:
        yield _Transposed(), "has a matrix transposed on the way."
    for ndim, old in sorted(seen.axes):
        for new in _other_axes(ndim, old):
            here, there = (" and ".join(map(str, axes)) for axes in (new, old))
            words = f"has a mean or a sum over another axis: axis {here} in the place of axis {there}."
            yield _OtherAxes(ndim, old, new), words


def _other_axes(ndim: int, old: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for new in (*((axis,) for axis in range(ndim)), tuple(range(1, ndim)), tuple(range(ndim))):
        if new and new != old:
            yield new
