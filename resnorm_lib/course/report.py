"""What a teacher takes away: scores, tables for learning platforms, a page of feedback for each hand-in."""

import csv
import html
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resnorm_lib.course.grade import Score
from resnorm_lib.course.key import Assignment

__all__ = ["TABLES", "feedback", "total", "write_table", "write_tables"]

# For each table: its first columns, filled from the roster; what heads the column of an assignment; and, for Canvas,
# the row of the points that can be reached.
TABLES = {
    "canvas": {
        "columns": {"Student": "{name}", "ID": "{id}", "SIS Login ID": "{student}", "Section": "{section}"},
        "assignment": "{title}",
        "possible": "    Points Possible",
    },
    "moodle": {"columns": {"Username": "{student}", "Email address": "{email}"}, "assignment": "{title}"},
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}: {student}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }}</style>
<h1>{title}</h1>
<p>{student}: {points} of {worth} points that a check can give. Answers in words and drawings are marked by hand.</p>
{tasks}
</html>
"""


def total(scores: Iterable[Score]) -> dict[str, dict[str, int]]:
    """Return the points of each student in each assignment."""
    sums: dict[str, dict[str, int]] = {}
    for score in scores:
        row = sums.setdefault(score.student, {})
        row[score.assignment] = row.get(score.assignment, 0) + score.points
    return sums


def feedback(scores: list[Score], title: str) -> str:
    """Return the page of one hand-in: points and a sentence for each exercise, and nothing of hidden cases."""
    tasks = []
    for score in scores:
        notes = "".join(f"<p><em>{html.escape(note)}</em></p>" for note in score.notes)
        heading = f"{html.escape(score.label)}: {score.points} of {score.worth}"
        tasks.append(f"<h2>{heading}</h2>\n<p>{html.escape(score.sentence)}</p>{notes}")
    points, worth = sum(score.points for score in scores), sum(score.worth for score in scores)
    student = html.escape(scores[0].student)
    return _PAGE.format(title=html.escape(title), student=student, points=points, worth=worth, tasks="\n".join(tasks))


def write_table(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV; a cell that a spreadsheet would run as a formula becomes text."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_text(each) for each in row] for row in rows)


def _text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def write_tables(
    folder: Path, scores: list[Score], key: dict[str, Assignment], roster: dict[str, dict[str, str]], tables: dict
) -> None:
    """Write ``scores.csv``, a table for each platform, ``feedback/student/assignment.html``, and these pages as a zip.

    ``feedback/assignment.zip`` goes back to the platform that the hand-ins came from: its pages are called as those.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = ("student", "assignment", "exercise", "points", "of", "sentence", "notes")
    rows = [(s.student, s.assignment, s.label, s.points, s.worth, s.sentence, " ".join(s.notes)) for s in scores]
    write_table(folder / "scores.csv", [head, *rows])
    sums = total(scores)
    used = [each for each in key.values() if any(each.name in row for row in sums.values())]
    for name, form in tables.items():
        write_table(folder / f"{name}.csv", _rows(form, sums, used, roster))
    for assignment in sorted({score.assignment for score in scores}):
        (folder / "feedback").mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "feedback" / f"{assignment}.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
            for student in sorted({score.student for score in scores if score.assignment == assignment}):
                own = [score for score in scores if (score.student, score.assignment) == (student, assignment)]
                page = folder / "feedback" / student / f"{assignment}.html"
                page.parent.mkdir(parents=True, exist_ok=True)
                page.write_text(feedback(own, key[assignment].title), encoding="utf-8")
                bundle.write(page, own[0].back or f"{student}/{assignment}.html")


def _rows(form: dict, sums: dict, used: list[Assignment], roster: dict) -> Iterable[list]:
    yield [*form["columns"], *(form["assignment"].format(**each._asdict()) for each in used)]
    if "possible" in form:
        blank = [""] * (len(form["columns"]) - 1)
        yield [form["possible"], *blank, *(sum(task.points for task in each.tasks) for each in used)]
    for student in sorted(sums.keys() | roster.keys()):
        known = {"student": student, "name": student, "id": "", "email": "", "section": "", **roster.get(student, {})}
        start = [text.format(**known) for text in form["columns"].values()]
        yield [*start, *(sums.get(student, {}).get(each.name, 0) for each in used)]
