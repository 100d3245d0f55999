"""Scores for nbgrader's gradebook, where marks given by hand are added to them."""

import os
import sys

from resnorm_lib.course.grade import Score
from resnorm_lib.course.key import Assignment

__all__ = ["fill"]


def fill(database: str, scores: list[Score], key: dict[str, Assignment]) -> int:
    """Enter scores as nbgrader's automatic ones, and return how many; answers in words still wait for a person.

    Parameters
    ----------
    database : str
        As nbgrader writes it: ``sqlite:///gradebook.db``, in the folder of the course.

    Raises
    ------
    ValueError
        If nbgrader is not installed, or its gradebook lacks an assignment: `nbgrader generate_assignment` enters it.
    """
    try:
        from nbgrader.api import Gradebook, MissingEntry
    except ImportError:
        raise ValueError("database needs nbgrader: install it, or leave --gradebook out.") from None
    # nbgrader starts alembic by its name, which is found only where the environment is activated
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    cells = {task.label: task.cell for each in key.values() for task in each.tasks}
    with Gradebook(database) as book:
        for score in scores:
            try:
                book.find_assignment(score.assignment)
            except MissingEntry:
                told = f"but {score.assignment} is not: run `nbgrader generate_assignment {score.assignment}` first."
                raise ValueError(f"database must be a gradebook with the assignments in it, {told}") from None
            book.update_or_create_student(score.student)
            book.update_or_create_submission(score.assignment, score.student)
            grade = book.find_grade(cells[score.label], score.assignment, score.assignment, score.student)
            grade.auto_score, grade.needs_manual_grade = score.points, False
        book.db.commit()
    return len(scores)
