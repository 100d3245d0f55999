"""Score hand-ins: each exercise by itself, in children, by both faces of its check."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from resnorm_lib.checks import Verdict, Wrong, registry
from resnorm_lib.course.answer import House
from resnorm_lib.course.bank import VARIABLE, load, named
from resnorm_lib.course.hand_in import Answer, answers, read_cells, readable
from resnorm_lib.course.key import Assignment, Task
from resnorm_lib.course.limits import LIMITS, Limits
from resnorm_lib.course.platforms import canvas_owner, named_by_roster, way_back

__all__ = ["HandIn", "Score", "checks", "grade", "hand_ins", "ignored", "known"]

NAMES = "(To an answer are known: what it defines, and what the other cells of the notebook import, define or assign.)"
# What programs append to the name of a file that is there already: "a (1)", "a(1)", "a-1", "a 2", "a-Copy1".
_COPY = re.compile(r"(?:[ -]?\((\d+)\)|[ -](\d+)|-Copy(\d+))$")


class HandIn(NamedTuple):
    """The notebook of one student for one assignment that counts."""

    student: str
    assignment: Assignment
    path: Path
    notes: list[str]  # which others there are
    back: str  # what its page of feedback is called in a zip for the platform it came from


class Score(NamedTuple):
    """What one exercise of one hand-in has earned."""

    student: str
    assignment: str
    label: str
    points: int
    worth: int
    sentence: str
    notes: list[str]
    back: str = ""  # as of its hand-in


def hand_ins(folder: Path, key: dict[str, Assignment]) -> list[HandIn]:
    """Return the notebooks ``FOLDER/student/.../assignment.ipynb``, one for each student and assignment.

    Files of Canvas's download lie in the folder itself; the student stands in their name.
    A name may end as that of a second download does, ``assignment (1).ipynb``. Of several notebooks the one that was
    saved last counts; of those saved in the same second the one with the highest number.

    Raises
    ------
    ValueError
        If there is none.
    """
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in _notebooks(folder):
        if (name := _meant(path, key)) and (student := _student(path, folder)):
            groups.setdefault((student, name), []).append(path)
    if not groups:
        wanted = f"{folder}/student/{next(iter(key), 'assignment')}.ipynb"
        raise ValueError(f"folder must hold hand-ins, as in {wanted}, but there is none in {folder}.")
    return [_last(student, folder, key[name], paths) for (student, name), paths in groups.items()]


def ignored(folder: Path, key: dict[str, Assignment]) -> list[str]:
    """Return a line for each notebook of a folder that is no hand-in, with the reason."""
    lines = []
    for path in _notebooks(folder):
        if not _meant(path, key):
            lines.append(f"{path.relative_to(folder)}: no assignment has this name")
        elif not _student(path, folder):
            lines.append(f"{path.relative_to(folder)}: it lies in no student's folder")
    return lines


def _notebooks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def _meant(path: Path, key: dict[str, Assignment]) -> str | None:
    """Return the assignment whose name a file has, or had before a program numbered it."""
    stem = Path(canvas_owner(path.name)[1]).stem
    return next((name for name in (stem, _COPY.sub("", stem)) if name in key), None)


def _student(path: Path, folder: Path) -> str:
    """Return whose folder a notebook lies in, or whom Canvas named; no one if neither."""
    return canvas_owner(path.name)[0] if path.parent == folder else path.relative_to(folder).parts[0]


def _last(student: str, folder: Path, assignment: Assignment, paths: list[Path]) -> HandIn:
    """Return the one of a student's notebooks that counts."""

    def when(path: Path) -> tuple[int, int, Path]:
        found = _COPY.search(path.stem) if path.stem != assignment.name else None
        return int(path.stat().st_mtime), int(found[found.lastindex]) if found else 0, path

    last = max(paths, key=when)
    place = folder if any(each.parent == folder for each in paths) else folder / student
    others = ", ".join(str(each.relative_to(place)) for each in paths if each != last)
    notes = [f"{last.relative_to(place)} counts, which was saved last, and not {others}."] if others else []
    return HandIn(student, assignment, last, notes, way_back(student, last, assignment.name))


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
    scores, handed_in = [], hand_ins(folder, key)
    known = checks(task.label for each in handed_in for task in each.assignment.tasks)
    for student, assignment, path, copies, back in handed_in:
        for task, points, sentence, notes in _judged(path, assignment, known, secret, house, limits):
            notes = [readable(each) for each in (*copies, *notes)]
            told = (points, task.points, readable(sentence), notes, readable(back))
            scores.append(Score(readable(student), assignment.name, task.label, *told))
    return scores


def known(scores: list[Score], roster: dict[str, dict[str, str]]) -> list[Score]:
    """Return scores under the roster's names of students, where what a platform calls a hand-in leads to one."""
    names: dict[tuple[str, str], str] = {}
    for assignment in {score.assignment for score in scores}:
        ways = sorted({score.back for score in scores if score.assignment == assignment})
        names |= {(assignment, way): student for way, student in named_by_roster(ways, roster).items()}
    return [each._replace(student=names.get((each.assignment, each.back), each.student)) for each in scores]


def _judged(
    path: Path, assignment: Assignment, known: dict[str, Callable], secret: str, house: House, limits: Limits
) -> Iterator[tuple[Task, int, str, list[str]]]:
    """Yield task, points, sentence and notes for each exercise of one hand-in, whatever is in its file."""
    try:
        found = answers(read_cells(path), assignment)
    except Exception as error:  # one hand-in must not stop the others
        told = str(error) if isinstance(error, ValueError) else f"The notebook cannot be read: {type(error).__name__}."
        found = [Answer(task, None, [], [told]) for task in assignment.tasks]
    for answer in found:
        verdict = _judge(answer, known[answer.task.label], secret, house, limits)
        names = f" {NAMES}" if verdict.error == "NameError" else ""
        yield answer.task, answer.task.points if verdict else 0, f"{verdict!r}{names}", answer.notes


def _judge(answer: Answer, check: Callable, secret: str, house: House, limits: Limits) -> Verdict:
    """Return the verdict of the check: its visible face teaches, the hidden one decides."""
    task = answer.task
    if answer.source is None:
        return Verdict(task.label, task.points, False, "there is no answer.")
    for seed in (None, secret):
        try:
            with house.answer(task.name, [answer.source], answer.before, limits) as handle:
                verdict = check(handle, seed=seed)
        except Exception as error:
            return Verdict(task.label, task.points, False, _told(error, task), type(error).__name__)
        if not verdict:
            break
    return verdict


def _told(error: Exception, task: Task) -> str:
    """Return what to say of an error outside a call of the answer."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return f"There is no {task.name} in the answer."
    line = f" in line {error.line}" if getattr(error, "line", None) else ""
    return f"The cell of the answer raises {type(error).__name__}{line}: {error}"
