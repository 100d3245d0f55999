"""The two faces of a check: fixed examples that teach, and drawn ones that grade."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

__all__ = ["Draw", "current", "shown"]


class Draw:
    """Draws the arguments of a check: the same examples for every reader, or others from a teacher's secret.

    Parameters
    ----------
    seed : str, optional
        The secret. Without one the face is the visible one.
    dtype : torch.dtype
        What the hidden face turns floating-point arguments into.

    Examples
    --------
    >>> list(Draw().cases((1, 2), (3, 4), drawn=lambda: (7, 7)))
    [(1, 2), (3, 4)]
    >>> len(list(Draw("secret").cases((1, 2), (3, 4), drawn=lambda: (7, 7))))
    4
    """

    def __init__(self, seed: str | None = None, dtype: torch.dtype = torch.float64) -> None:
        self.hidden, self.dtype = seed is not None, dtype
        self._entropy = list((seed or "").encode())
        self._draw = self.numpy(0)
        self.right: Callable | None = None  # a right answer
        self.asked: tuple = ()  # what the answer was called with last
        self.without: tuple[str, ...] = ()  # what the exercise rules out, of resnorm_lib.checks.judge.rules

    def numpy(self, number: int) -> np.random.Generator:
        """Return NumPy's generator number ``number`` of this face."""
        return np.random.default_rng([number, *self._entropy])

    def generator(self, number: int) -> torch.Generator:
        """Return torch's generator number ``number`` of this face."""
        seed = int(self.numpy(number).integers(2**62)) if self.hidden else number
        return torch.Generator().manual_seed(seed)

    def integer(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return int(self._draw.integers(low, high, endpoint=True))

    def number(self, low: float, high: float) -> float:
        """Draw a number between low and high, with no more than four digits."""
        return float(f"{self._draw.uniform(low, high):.4g}")

    def size(self, seen: int, low: int = 2, high: int = 7) -> int:
        """Return the size that everybody sees; or draw another, so that nothing fitted to that one is right."""
        return self.choice([each for each in range(low, high + 1) if each != seen]) if self.hidden else seen

    def value(self, seen: float, low: float, high: float) -> float:
        """Return the number that everybody sees, or draw one between low and high."""
        return self.number(low, high) if self.hidden else seen

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw normal numbers in float64."""
        return torch.from_numpy(self._draw.standard_normal(shape))

    def choice(self, options: Sequence) -> Any:
        """Draw one of several options."""
        return options[self.integer(0, len(options) - 1)]

    def cases(self, *visible: Any, drawn: Callable[[], Any], count: int = 4) -> Iterator[Any]:
        """Yield the examples that everybody sees, or as many drawn ones."""
        if not self.hidden:
            yield from visible
            return
        for _ in range(count):
            yield drawn()


_SHOWN: ContextVar[Draw | None] = ContextVar("face", default=None)


def current() -> Draw:
    """Return the face that is at work."""
    return _SHOWN.get() or Draw()


@contextmanager
def shown(face: Draw) -> Iterator[Draw]:
    """Let a face be at work. Whatever a notebook has set, new tensors are float32, as where answers are graded."""
    token, dtype = _SHOWN.set(face), torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield face
    finally:
        torch.set_default_dtype(dtype)
        _SHOWN.reset(token)
