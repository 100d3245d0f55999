"""``python -m book._tools.course FOLDER``: write what a teacher hands out and keeps (``make course``)."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book._tools.course.bank import banks, read_bank, unanswered
from book._tools.course.exercises import exercises
from book._tools.course.notebooks import FACES, assignment, for_colab, notebook
from book._tools.course.slides import slides, write_slides
from book._tools.manifest import ROOT
from resnorm_lib.course.bank import VARIABLE, load, named
from resnorm_lib.course.key import Assignment, write_key

CONFIG = '''"""Settings of nbgrader for this course: run `nbgrader generate_assignment NAME` in this folder."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "resnorm"
c.ClearSolutions.code_stub = {"python": ""}
c.ClearSolutions.text_stub = "*Write your answer here.*"
c.IncludeHeaderFooter.header = ""
'''


def write(folder: Path) -> None:
    """Write all assignments, the key for the grader, and nbgrader's settings."""
    held, words = load(named())
    key, missing, decks = [], [], {}
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        source = nbformat.read(path, as_version=4)
        if exercises(source):
            key.append(_write(folder, path.stem, source, FACES))
            decks[path.stem] = slides(path.stem, source)
    write_slides(folder / "slides", decks)
    for path in banks():
        if without := unanswered(path, held, words):
            missing.append(f"{path.stem} ({', '.join(without)})")
        key.append(_write(folder, path.stem, read_bank(path, held, words), ["student"] if without else FACES))
    (folder / "nbgrader" / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    shutil.copy(ROOT / "book/course/exam.md", folder / "instructor")
    write_key(folder / "key.json", key)
    written = ", ".join(("student", "colab", "instructor", "nbgrader", "slides"))
    print(f"{len(key)} assignments are in {folder}: {written}; key.json is for the grader.")
    if missing:
        print(f"Student notebooks alone, since {VARIABLE} names no folder with the answers: {'; '.join(missing)}.")


def _write(folder: Path, name: str, source: NotebookNode, faces: Sequence[str]) -> Assignment:
    """Write one assignment; return what the key says of it."""
    for face in faces:
        place = folder / face / ("source/" + name if face == "nbgrader" else "")
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(name, source, face), place / f"{name}.ipynb")
    (folder / "colab").mkdir(exist_ok=True)
    nbformat.write(for_colab(notebook(name, source, "student")), folder / "colab" / f"{name}.ipynb")
    return assignment(name, source)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write what a teacher hands out and keeps.")
    parser.add_argument("folder", type=Path, help="where it goes")
    write(parser.parse_args().folder)
