"""The exercises and the predictions of a chapter."""

import ast
import re
from typing import NamedTuple

from nbformat import NotebookNode

from book._tools.myst import directives
from resnorm_lib.checks import registry
from resnorm_lib.course.names import bound

__all__ = ["Exercise", "Prediction", "exercises", "predictions"]

POINTS = {"easy": 1, "medium": 2, "hard": 3}
EFFORT = re.compile(r"\((easy|medium|hard), (\d+) min\)\s*")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Exercise(NamedTuple):
    """One exercise, its solution, and its stub if a check marks it."""

    label: str
    title: str
    task: str  # MyST Markdown
    difficulty: str
    minutes: int
    stub: str  # "" where the answer is no code that a check marks
    name: str  # of what the stub defines
    check: str  # the name of its check; "" in the second bank, whose checks are not handed out
    answer: str  # the cell of the solution that defines the name
    solution: list[tuple[str, str]]  # (kind of cell, source) of the whole solution
    levels: dict[str, str]  # of its rubric, if the solution brings one

    @property
    def points(self) -> int:
        """What the exercise is worth."""
        return registry()[self.label].points if self.check else POINTS[self.difficulty]

    @property
    def slug(self) -> str:
        """The label in the ids of cells."""
        return self.label.removeprefix("exercise-")


class Prediction(NamedTuple):
    """One "Predict first" of a chapter."""

    section: str
    question: str  # MyST Markdown


def predictions(notebook: NotebookNode) -> list[Prediction]:
    """Return what the chapter asks its readers to predict."""
    found, section = [], ""
    for cell in notebook.cells:
        if cell.cell_type != "markdown" or "solution" in cell.metadata.get("tags", []):
            continue
        for paragraph in cell.source.split("\n\n"):
            if heading := HEADING.match(paragraph):
                section = heading[1]
            if "**Predict first" in paragraph:
                found.append(Prediction(section, paragraph[paragraph.index("**Predict first") :]))
    return found


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Return the exercises of a chapter, in order."""
    groups: list[list[NotebookNode]] = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            groups.append([cell])
        elif groups and {"stub", "solution"} & set(tags):
            groups[-1].append(cell)
    return [_exercise(*group) for group in groups]


def _exercise(statement: NotebookNode, *cells: NotebookNode) -> Exercise:
    found = next(each for each in directives(statement.source) if each.name == "exercise")
    difficulty, minutes = EFFORT.search(found.body).groups()
    stub = next((cell.source for cell in cells if "stub" in cell.metadata.tags and cell.cell_type == "code"), "")
    solution = [(cell.cell_type, _inside(cell)) for cell in cells if "solution" in cell.metadata.tags]
    solution = [(kind, source) for kind, source in solution if source]
    name = _defined(stub)[-1] if stub else ""
    check = next((each for each in bound(stub) if each.startswith("check_")), "")
    codes = [source for kind, source in solution if kind == "code"]
    answer = next((source for source in codes if name in _defined(source)), "") if stub else ""
    task, label = EFFORT.sub("", found.body, count=1).strip(), found.options["label"]
    levels = next((cell.metadata.levels for cell in cells if "levels" in cell.metadata), {})
    return Exercise(label, found.argument, task, difficulty, int(minutes), stub, name, check, answer, solution, levels)


def _inside(cell: NotebookNode) -> str:
    """Return a cell of a solution without the directives around it."""
    if cell.cell_type == "code":
        return cell.source
    if alone := next((each for each in directives(cell.source) if each.name == "solution"), None):
        return alone.body.strip()
    return "" if cell.source.lstrip().startswith((":::{solution-", "::::{solution-")) else cell.source


def _defined(source: str) -> list[str]:
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
