"""``python -m book._tools.course FOLDER``: write what a teacher hands out and keeps (``make course``)."""

import shutil
import sys
from pathlib import Path

import nbformat

from book._tools.course.exercises import exercises
from book._tools.course.notebooks import FACES, assignment, notebook
from book._tools.manifest import ROOT
from resnorm_lib.course.key import write_key

CONFIG = '''"""Settings of nbgrader for this course: run `nbgrader generate_assignment NAME` in this folder."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "resnorm"
c.ClearSolutions.code_stub = {"python": ""}
c.ClearSolutions.text_stub = "*Write your answer here.*"
c.IncludeHeaderFooter.header = ""
'''


def write(folder: Path) -> None:
    """Write all assignments, the key for the grader, and nbgrader's settings."""
    key = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        source = nbformat.read(path, as_version=4)
        if not exercises(source):
            continue
        key.append(assignment(path.stem, source))
        for face in FACES:
            place = folder / face / ("source/" + path.stem if face == "nbgrader" else "")
            place.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook(path.stem, source, face), place / path.name)
    (folder / "nbgrader" / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    shutil.copy(ROOT / "book/course/exam.md", folder / "instructor")
    write_key(folder / "key.json", key)
    print(f"{len(key)} assignments are in {folder}: student, instructor, nbgrader; key.json is for the grader.")


if __name__ == "__main__":
    write(Path(*sys.argv[1:]))
