"""Score hand-ins: each exercise by itself, in children, by both faces of its check."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from resnorm_lib.checks import Verdict, Wrong, registry
from resnorm_lib.course.answer import House
from resnorm_lib.course.bank import VARIABLE, load, named
from resnorm_lib.course.hand_in import Answer, answers, read_cells
from resnorm_lib.course.key import Assignment, Task
from resnorm_lib.course.limits import LIMITS, Limits

__all__ = ["Score", "checks", "grade", "hand_ins"]


class Score(NamedTuple):
    """What one exercise of one hand-in has earned."""

    student: str
    assignment: str
    label: str
    points: int
    worth: int
    sentence: str
    notes: list[str]


def hand_ins(folder: Path, key: dict[str, Assignment]) -> Iterator[tuple[str, Assignment, Path]]:
    """Yield student, assignment and file for each notebook ``FOLDER/student/.../assignment.ipynb``.

    Raises
    ------
    ValueError
        If there is none.
    """
    paths = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    found = [(path.relative_to(folder).parts[0], key[path.stem], path) for path in paths if path.stem in key
             and path.parent != folder]  # fmt: skip
    if not found:
        wanted = f"{folder}/student/{next(iter(key), 'assignment')}.ipynb"
        raise ValueError(f"folder must hold hand-ins, as in {wanted}, but there is none in {folder}.")
    yield from found


def checks(labels: Iterable[str]) -> dict[str, Callable]:
    """Return the checks of exercises by label: those of the book, and of the folder that the environment names.

    Raises
    ------
    ValueError
        If one is in neither.
    """
    known = {label: each.check for label, each in registry().items()}
    known |= {label: each.check() for label, each in load(named())[0].items()}
    if missing := [label for label in labels if label not in known]:
        raise ValueError(f"{VARIABLE} must name the folder with the answers to {', '.join(missing)}.")
    return known


def grade(folder: Path, key: dict[str, Assignment], secret: str, house: House, limits: Limits = LIMITS) -> list[Score]:
    """Score every hand-in of a folder; what is wrong with one of them stops none of the others.

    Parameters
    ----------
    secret : str
        From it the hidden face of each check draws.
    house : House
        Where the answers run.
    limits : Limits
        For each face of each check.
    """
    scores, handed_in = [], list(hand_ins(folder, key))
    known = checks(task.label for _, assignment, _ in handed_in for task in assignment.tasks)
    for student, assignment, path in handed_in:
        try:
            found = answers(read_cells(path), assignment)
        except ValueError as error:
            found = [Answer(task, None, [], [str(error)]) for task in assignment.tasks]
        for answer in found:
            task = answer.task
            points, sentence = _judge(answer, known[task.label], secret, house, limits)
            scores.append(Score(student, assignment.name, task.label, points, task.points, sentence, answer.notes))
    return scores


def _judge(answer: Answer, check: Callable, secret: str, house: House, limits: Limits) -> tuple[int, str]:
    """Return points and the sentence for the student: the visible face teaches, the hidden one decides."""
    if answer.source is None:
        return 0, "not yet: there is no answer."
    for seed in (None, secret):
        try:
            verdict = _verdict(answer, check, seed, house, limits)
        except Exception as error:
            return 0, f"not yet: {_told(error, answer.task)}"
        if not verdict:
            return 0, repr(verdict)
    return answer.task.points, repr(verdict)


def _verdict(answer: Answer, check: Callable, seed: str | None, house: House, limits: Limits) -> Verdict:
    task = answer.task
    with house.answer(task.name, [task.prelude, answer.source], answer.own, limits) as handle:
        return check(handle, seed=seed)


def _told(error: Exception, task: Task) -> str:
    """Return what to say of an error outside a call of the answer."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return f"There is no {task.name} in the answer."
    line = f" in line {error.line}" if getattr(error, "line", None) else ""
    return f"The cell of the answer raises {type(error).__name__}{line}: {error}"
