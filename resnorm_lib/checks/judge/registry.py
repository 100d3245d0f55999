"""The registry of exercises: each check is registered once, with the label of its exercise and its points."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import torch

from resnorm_lib.checks.judge.answers import Wrong
from resnorm_lib.checks.judge.face import Draw, shown
from resnorm_lib.checks.judge.rules import RULES

__all__ = ["Exercise", "Verdict", "exercise", "registry"]

_EXERCISES: dict[str, "Exercise"] = {}  # by label


class Verdict(NamedTuple):
    """What a check says of an answer: true if the answer is right; a notebook shows the sentence."""

    label: str
    points: int  # that the exercise is worth
    is_right: bool
    sentence: str
    error: str = ""  # the kind of the one that an answer raised, such as NameError

    def __bool__(self) -> bool:
        return self.is_right

    def __repr__(self) -> str:
        return f"{'right' if self.is_right else 'not yet'}: {self.sentence}"


class Exercise(NamedTuple):
    """One code exercise of the book."""

    label: str
    points: int
    chapter: str
    check: Callable[[Callable], Verdict]


def exercise(
    label: str, points: int, right: Callable | None = None, without: tuple[str, ...] = ()
) -> Callable[[Callable], Callable[..., Verdict]]:
    """Register a check for the exercise with this label.

    The check takes an answer and a :class:`~resnorm_lib.checks.judge.face.Draw` for its arguments, raises
    :class:`~resnorm_lib.checks.judge.answers.Wrong` with a sentence where the answer is wrong, and returns what was
    right, as the end of a sentence. Registered, it takes an answer, and a seed for its hidden face: drawn arguments,
    float64 and float32. It returns a :class:`Verdict` and raises nothing.

    Parameters
    ----------
    label : str
    points : int
    right : function, optional
        A right answer, written with torch where it works on tensors: from it the mistakes that any answer may contain
        are made (:mod:`resnorm_lib.checks.judge.themes`), so that the check need not list them.
    without : tuple of str
        What the statement rules out, of ``resnorm_lib.checks.judge.rules``: an answer that does it is wrong.

    Examples
    --------
    >>> from resnorm_lib.checks.judge.references import expect
    >>> @exercise("exercise-demo-double", points=1)
    ... def check_double(answer, face):
    ...     for number in face.cases(2, drawn=lambda: face.number(1, 9)):
    ...         expect(answer, lambda x: 2 * x, number, what="The double")
    ...     return "the double"
    >>> check_double(lambda x: 2 * x), check_double(lambda x: x * x * x)
    (right: the double, not yet: The double is twice as large as it must be.)
    >>> check_double(lambda x: x + 2), check_double(lambda x: x + 2, seed="secret").is_right
    (right: the double, False)
    """

    assert RULES.keys() >= set(without), f"without must be of {', '.join(RULES)}, but it is {without!r}."

    def register(check: Callable[..., str]) -> Callable[..., Verdict]:
        draws = len(inspect.signature(check).parameters) > 1

        @functools.wraps(check)
        def judged(answer: Callable, seed: str | None = None) -> Verdict:
            try:
                for face in _faces(seed):
                    face.right, face.without = right, without
                    with shown(face):
                        sentence = check(answer, face) if draws else check(answer)
                return Verdict(label, points, True, sentence)
            except Wrong as wrong:
                error = type(wrong.__cause__).__name__ if wrong.__cause__ else ""
                return Verdict(label, points, False, str(wrong), error)
            except Exception as error:  # of the comparison, with something that is no answer to the question
                told = f"The check cannot use what the answer returned: {type(error).__name__}"
                return Verdict(label, points, False, f"{told}." if face.hidden else f"{told}: {error}")

        judged.right, judged.without = right, without
        judged.__signature__ = inspect.Signature(
            [inspect.Parameter("answer", 1), inspect.Parameter("seed", 1, default=None)]
        )
        _EXERCISES[label] = Exercise(label, points, check.__module__.rpartition(".")[2], judged)
        return judged

    return register


def _faces(seed: str | None) -> list[Draw]:
    if seed is None:
        return [Draw()]
    return [Draw(f"{seed} 1"), Draw(f"{seed} 2"), Draw(f"{seed} 3", torch.float32)]


def registry() -> dict[str, Exercise]:
    """Return all code exercises of the book, by label.

    Examples
    --------
    >>> registry()["exercise-degr-length"].points
    2
    """
    import resnorm_lib.checks as package

    chapters = {info.name for info in pkgutil.iter_modules(package.__path__) if not info.ispkg}
    for name in sorted(chapters):
        importlib.import_module(f"{package.__name__}.{name}")
    return {label: found for label, found in _EXERCISES.items() if found.chapter in chapters}
