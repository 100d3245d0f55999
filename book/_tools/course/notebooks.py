"""One assignment, three notebooks: for students, for instructors, and for nbgrader."""

import json
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

from book._tools.course.exercises import Exercise, Prediction, exercises, predictions
from book._tools.course.given import lacking, named, needed
from book._tools.course.rubrics import scheme
from book._tools.names import Names
from book._tools.plain import plain
from resnorm_lib.course.key import SETUP, Assignment, Task
from resnorm_lib.course.names import used

__all__ = ["FACES", "NAMES", "assignment", "for_colab", "notebook"]

FACES = ("student", "instructor", "nbgrader")
ALWAYS = "import math\n\nimport numpy as np\nimport torch"
HEAD = """# Exercises: {title}

{introduction}

The first cell needs the book's library: `pip install` the wheel that your teacher names, or the one beside the book."""
CHAPTER = """Read the chapter *{title}* beside this notebook; numbers of formulas are those of the chapter. Read it up to each *Predict first*, which speaks of what stands right before it, write the prediction down here, and read on.
Write your answers into the cells that are made for them, and hand in this notebook. {names}
The check below an answer in code says what is wrong with it. When you have handed in, other shapes and numbers are tried, too, in float64 and in float32."""  # noqa: E501
NAMES = "An answer may use the names of the first cell, and what other cells import, define or assign, yours and other answers: the grader runs what it needs of them. Files of your own it does not have. A new tensor takes the dtype of an argument, as in `torch.eye(d, dtype=x.dtype)`."  # noqa: E501
INSTALL = """import importlib.util
from glob import glob

if importlib.util.find_spec("resnorm_lib") is None:
    if not glob("resnorm_lib-*.whl"):
        from google.colab import files

        files.upload()  # choose the wheel that your teacher names
    wheel = glob("resnorm_lib-*.whl")[0]
    %pip install --quiet --no-deps {wheel}
    importlib.invalidate_caches()"""
EXAMPLE = "import doctest\n\ndoctest.run_docstring_examples({name}, globals())"
TRAINED = (
    "*The chapter computes {names}, and this notebook does not: to compare with it, run the chapter and work there.*"
)
WRITE = "*Write your answer here.*"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def notebook(chapter: str, source: NotebookNode, face: str) -> NotebookNode:
    """Return the assignment of a chapter for one of :data:`FACES`.

    Raises
    ------
    ValueError
        If there is no such face.
    """
    if face not in FACES:
        raise ValueError(f"face is {face!r}, but it must be one of {', '.join(FACES)}.")
    names, tasks, asked = Names(chapter), exercises(source), predictions(source)
    title = names.title(chapter)
    introduction = source.metadata.get("introduction") or CHAPTER.format(title=title, names=NAMES)
    cells = [_text("head", HEAD.format(title=title, introduction=introduction))]
    cells.append(_code(SETUP, f"{ALWAYS}\n{_setup(source, tasks)}".rstrip()))
    for number, each in enumerate(asked, 1):
        cells += _prediction(number, each, names, face)
    for each in tasks:
        cells += _task(each, lacking(source, _codes(each)), names, face)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def for_colab(student: NotebookNode) -> NotebookNode:
    """Return a student notebook behind a cell that installs the library where it is not installed."""
    install = nbformat.v4.new_code_cell(INSTALL)
    install["id"] = "install"
    return nbformat.v4.new_notebook(cells=[student.cells[0], install, *student.cells[1:]], metadata=student.metadata)


def assignment(chapter: str, source: NotebookNode) -> Assignment:
    """Return what the key says of a chapter's assignment."""
    tasks = []
    for each in exercises(source):
        if each.stub:
            tasks.append(Task(each.label, each.name, each.points, f"answer-{each.slug}", _stub(each)))
    cells = [json.loads(json.dumps(cell)) for cell in notebook(chapter, source, "student").cells]
    return Assignment(chapter, Names(chapter).title(chapter), tasks, cells)


def _setup(source: NotebookNode, tasks: list[Exercise]) -> str:
    names = {name for each in tasks for name in named(source, each.task)} - {each.name for each in tasks}
    lines = needed(source, sorted(names.union(*(used(_codes(each)) for each in tasks))))
    return "\n".join(line for line in lines.split("\n") if line not in ALWAYS.split("\n") or not line)


def _codes(task: Exercise) -> list[str]:
    return [task.stub, *(text for kind, text in task.solution if kind == "code")]


def _prediction(number: int, asked: Prediction, names: Names, face: str) -> Iterator[NotebookNode]:
    place = f"predict-{number}"
    yield _text(f"ask-{place}", f"## Prediction {number}: {asked.section}\n\n{plain(asked.question, names)}")
    answer = "Any prediction with a reason earns the point; whether it was right does not count."
    yield _answer_in_words(place, answer, 1, face)


def _task(task: Exercise, trained: list[str], names: Names, face: str) -> Iterator[NotebookNode]:
    effort = f"*{task.difficulty}, {task.minutes} minutes, {task.points} {'point' if task.points == 1 else 'points'}*"
    yield _text(f"task-{task.slug}", f"## {task.title}\n\n{effort}\n\n{plain(task.task, names)}{_told(trained)}")
    if task.stub:
        yield _code(f"answer-{task.slug}", _filled(task, face), grade=True, solution=True, points=task.points)
        if task.check:
            module = f"resnorm_lib.checks.{_module(task)}"
            yield _code(f"check-{task.slug}", f"from {module} import {task.check}\n\n{task.check}({task.name})")
        elif ">>>" in task.stub:
            yield _code(f"example-{task.slug}", EXAMPLE.format(name=task.name))
    else:
        yield _answer_in_words(
            f"answer-{task.slug}", "" if face == "student" else _model(task, names), task.points, face
        )


def _model(task: Exercise, names: Names) -> str:
    """Return the answer of the book with its mark scheme."""
    texts = (plain(text, names) if kind == "markdown" else f"```python\n{text}\n```" for kind, text in task.solution)
    return "\n\n".join([*texts, scheme(task)])


def _told(trained: list[str]) -> str:
    """Return a word on what the book's answer takes from the chapter and this notebook does not have."""
    listed = ", ".join(f"`{name}`" for name in trained)
    return f"\n\n{TRAINED.format(names=listed)}" if trained else ""


def _module(task: Exercise) -> str:
    line = next(line for line in task.stub.splitlines() if line.startswith("from resnorm_lib.checks."))
    return line.split()[1].rpartition(".")[2]


def _stub(task: Exercise) -> str:
    """Return the stub without the import of its check, which stands in the cell below."""
    return "\n".join(line for line in task.stub.splitlines() if not line.startswith("from resnorm_lib.checks.")).strip()


def _filled(task: Exercise, face: str) -> str:
    if face == "student":
        return _stub(task)
    if face == "instructor":
        return task.answer
    return f"{_stub(task)}\n\n\n{BEGIN}\n{task.answer}\n{END}"


def _answer_in_words(place: str, model: str, points: int, face: str) -> NotebookNode:
    text = {"student": WRITE, "instructor": model, "nbgrader": f"{BEGIN}\n{model}\n{END}"}[face]
    return _text(place, text, grade=True, solution=True, points=points)


def _text(place: str, source: str, **marks: int) -> NotebookNode:
    return _marked(nbformat.v4.new_markdown_cell(source), place, **marks)


def _code(place: str, source: str, **marks: int) -> NotebookNode:
    return _marked(nbformat.v4.new_code_cell(source), place, **marks)


def _marked(
    cell: NotebookNode, place: str, grade: bool = False, solution: bool = False, points: int = 0
) -> NotebookNode:
    """Give a cell its id, and nbgrader's marks: what it may change, and what it is worth."""
    cell["id"] = place
    mark = {"grade": grade, "grade_id": place, "locked": not solution, "schema_version": 3, "solution": solution,
            "task": False} | ({"points": points} if grade else {})  # fmt: skip
    cell.metadata["nbgrader"] = mark
    return cell
