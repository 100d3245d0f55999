"""How answers in words are marked: a rubric for each exercise that no check marks, from ``book/course/rubrics.yml``."""

import functools

import yaml

from book._tools.course.exercises import Exercise
from book._tools.manifest import ROOT

__all__ = ["rubrics", "scheme"]

LEVELS = ("full", "half", "none")


@functools.cache
def rubrics() -> dict[str, dict[str, str]]:
    """Return the three levels of each exercise, by label."""
    return yaml.safe_load((ROOT / "book/course/rubrics.yml").read_text(encoding="utf-8"))


def scheme(exercise: Exercise) -> str:
    """Return the mark scheme of an exercise in Markdown.

    Raises
    ------
    ValueError
        If no rubric has been written for it.
    """
    levels = exercise.levels or rubrics().get(exercise.label)
    if levels is None:
        raise ValueError(f"book/course/rubrics.yml must say how {exercise.label} is marked, but it does not.")
    rows = [f"- **{_worth(exercise.points, level)}**: {levels[level]}" for level in LEVELS]
    return "\n".join(["**Mark scheme.**", "", *rows])


def _worth(points: int, level: str) -> str:
    earned = {"full": points, "half": points / 2, "none": 0}[level]
    return f"{earned:g} of {points}"
