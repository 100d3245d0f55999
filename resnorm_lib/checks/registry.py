"""The registry of exercises: each check is registered once, with the label of its exercise and its points."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

from resnorm_lib.checks.answers import Wrong

__all__ = ["Exercise", "Verdict", "exercise", "registry"]

_EXERCISES = {}


class Verdict(NamedTuple):
    """What a check says of an answer: true if the answer is right; a notebook shows the sentence."""

    label: str
    points: int  # that the exercise is worth
    is_right: bool
    sentence: str

    def __bool__(self):
        return self.is_right

    def __repr__(self):
        return f"{'right' if self.is_right else 'not yet'}: {self.sentence}"


class Exercise(NamedTuple):
    """One code exercise of the book."""

    label: str
    points: int
    chapter: str
    check: Callable[[Callable], Verdict]


def exercise(label, points):
    """Register a check for the exercise with this label.

    The check takes an answer, raises :class:`~resnorm_lib.checks.answers.Wrong` with a sentence where the answer is
    wrong, and returns what was right, as the end of a sentence. Registered, it returns a :class:`Verdict` and raises
    nothing.

    Examples
    --------
    >>> from resnorm_lib.checks.answers import call
    >>> @exercise("exercise-demo-double", points=1)
    ... def check_double(answer):
    ...     if call(answer, 2) != 4:
    ...         raise Wrong("Twice 2 is 4.")
    ...     return "the double"
    >>> check_double(lambda x: 2 * x), check_double(lambda x: 3 * x)
    (right: the double, not yet: Twice 2 is 4.)
    """

    def register(check):
        @functools.wraps(check)
        def judged(answer):
            try:
                return Verdict(label, points, True, check(answer))
            except Wrong as wrong:
                return Verdict(label, points, False, str(wrong))

        _EXERCISES[label] = Exercise(label, points, check.__module__.rpartition(".")[2], judged)
        return judged

    return register


def registry():
    """Return all code exercises of the book, by label.

    Examples
    --------
    >>> registry()["exercise-degr-length"].points
    2
    """
    import resnorm_lib.checks as package

    chapters = {info.name for info in pkgutil.iter_modules(package.__path__)}
    for name in sorted(chapters):
        importlib.import_module(f"{package.__name__}.{name}")
    return {label: found for label, found in _EXERCISES.items() if found.chapter in chapters}
