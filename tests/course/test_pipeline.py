"""The way of the guide, from an empty folder: make course, hand out, collect, mend, grade, export."""

import csv
import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import nbformat
import pytest

from book._tools.course import __main__ as course
from book._tools.manifest import ROOT
from resnorm_lib.course import __main__ as command
from resnorm_lib.course.bank import VARIABLE
from tests.course import students

NAME = "rank_collapse"


def make_course(folder, monkeypatch):
    """Do what `make course` does, with one chapter and without slides."""
    book = folder / "book_of_one_chapter"
    (book / "chapters").mkdir(parents=True)
    (book / "book/course").mkdir(parents=True)
    shutil.copy(ROOT / "chapters" / f"{NAME}.ipynb", book / "chapters")
    shutil.copy(ROOT / "book/course/exam.md", book / "book/course")
    monkeypatch.setattr(course, "ROOT", book)
    monkeypatch.setattr(course, "write_slides", lambda *_: None)
    monkeypatch.delenv(VARIABLE, raising=False)
    course.write(folder / "course")


def nbgrader(place, *words):
    programs = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}  # as where the environment is activated
    done = subprocess.run(
        [programs / "nbgrader", *words], cwd=place, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def hand_in(folder, student, notebook):
    path = folder / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # of nbgrader's own
def test_the_way_of_the_guide_from_an_empty_folder(tmp_path, monkeypatch, capsys, house):
    monkeypatch.setattr(command, "House", lambda: nullcontext(house))
    make_course(tmp_path, monkeypatch)
    place = tmp_path / "course" / "nbgrader"
    nbgrader(place, "generate_assignment", NAME)
    given = nbformat.read(place / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    assert "BEGIN SOLUTION" not in json.dumps(given)
    answers = nbformat.read(tmp_path / "course" / "instructor" / f"{NAME}.ipynb", as_version=4)
    filled = json.loads(json.dumps(given))
    for cell, answer in zip(filled["cells"], answers.cells, strict=True):
        cell["source"] = answer.source
    doubled = {**filled, "cells": [*filled["cells"], *filled["cells"]]}
    bare = [{key: cell[key] for key in cell if key != "id"} | {"metadata": {}} for cell in filled["cells"]]
    whole = {"given": given, "filled": filled, "doubled": doubled, "bare": {**filled, "cells": bare}}
    for student, notebook in whole.items():
        hand_in(tmp_path / "submitted", student, notebook)
    students.write(tmp_path / "submitted")

    about = [str(tmp_path / "submitted"), "--key", str(tmp_path / "course" / "key.json"), "--out"]
    command.main(["mend", *about, str(tmp_path / "mended")])
    nbgrader(place, "autograde", "--no-execute", "--CourseDirectory.submitted_directory=../../mended", NAME)
    database = f"sqlite:///{place}/gradebook.db"
    command.main(["grade", *about, str(tmp_path / "graded"), "--seconds", "2", "--gradebook", database])
    nbgrader(place, "export")

    tasks = json.loads((tmp_path / "course" / "key.json").read_text())["assignments"][0]["tasks"]
    full = sum(task["points"] for task in tasks)
    invented = {student: points for student, (_, points) in students.STUDENTS.items()}
    wanted = invented | {student: full * (student != "given") for student in whole}
    with open(tmp_path / "graded" / "moodle.csv", newline="") as file:
        assert {row[0]: int(row[-1]) for row in list(csv.reader(file))[1:]} == wanted
    with open(place / "grades.csv", newline="") as file:
        assert {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)} == wanted
    marked = nbformat.read(place / "autograded" / "bare" / NAME / f"{NAME}.ipynb", as_version=4)
    count = sum(cell.metadata.get("nbgrader", {}).get("grade", False) for cell in given.cells)
    assert sum(cell.metadata.get("nbgrader", {}).get("grade", False) for cell in marked.cells) == count
