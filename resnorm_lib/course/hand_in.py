"""A hand-in: the answers in a notebook that may have lost, doubled or broken its cells."""

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from resnorm_lib.course.key import Assignment, Task
from resnorm_lib.course.names import before, tree

__all__ = ["FAULTS", "Answer", "answers", "defined", "filled", "read_cell", "read_cells", "readable"]

FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)  # of what is no notebook
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2})$")


class Answer(NamedTuple):
    """What a hand-in holds for one exercise."""

    task: Task
    source: str | None  # None: there is no answer
    before: list[str]  # statements of other cells that it needs
    notes: list[str]  # what had to be repaired


def readable(text: str) -> str:
    r"""Return a text that any file takes: halves of a character, which UTF-8 does not have, are spelled out.

    Examples
    --------
    >>> print(readable("a\ud800"))
    a\ud800
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook, each with its ids and its kind, whatever else is wrong with it.

    Raises
    ------
    ValueError
        If the file is no notebook.
    """
    try:
        return [read_cell(each) for each in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    except FAULTS as error:
        raise ValueError(f"path must be a notebook, but {path.name} is none: {type(error).__name__}.") from error


def read_cell(cell: dict) -> dict[str, Any]:
    """Return what counts of a cell: its ids (Colab keeps one in the metadata), its kind and its text."""
    source = cell.get("source", "")
    metadata = cell.get("metadata") or {}
    grading = metadata.get("nbgrader") or {}
    return {
        "ids": {grading.get("grade_id"), cell.get("id"), metadata.get("id")} - {None},
        "kind": cell.get("cell_type"),
        "source": source if type(source) is str else "".join(source),
    }


def answers(cells: list[dict[str, Any]], assignment: Assignment) -> list[Answer]:
    """Return the answer to each task, found by the id of its cell; what was repaired is noted.

    Examples
    --------
    >>> task = Task("exercise-demo", "double", 1, "answer-demo", "def double(x): ...")
    >>> cell = {"ids": {"answer-demo"}, "kind": "code", "source": "def double(x): return 2 * x"}
    >>> answers([cell, cell], Assignment("demo", "Demo", [task], []))[0].notes
    ['The cell of this answer was there 2 times; the last one that was filled in counts.']
    """
    return [_answer(cells, assignment, task) for task in assignment.tasks]


def filled(source: str, task: Task) -> bool:
    """Say whether a cell holds more than the stub that was handed out, or a function that does nothing but refuse."""
    for node in tree(_python(source)[0]):
        if isinstance(node, ast.FunctionDef) and node.name == task.name:
            *body, last = node.body
            refuses = isinstance(last, ast.Raise) and "NotImplementedError" in ast.dump(last)
            if refuses and all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in body):
                return False
    return _code(source) != _code(task.stub)


def defined(source: str, name: str) -> bool:
    """Say whether a cell gives a name to something of its own."""
    for node in tree(_python(source)[0]):
        targets = node.targets if isinstance(node, ast.Assign) else ()
        called = [getattr(node, "name", None), *(each.id for each in targets if isinstance(each, ast.Name))]
        if name in called:
            return True
    return False


def _answer(cells: list[dict], assignment: Assignment, task: Task) -> Answer:
    place, notes = _place(cells, assignment, task)
    if place is None:
        return Answer(task, None, [], notes)
    if cells[place]["kind"] != "code":
        notes.append("The cell of this answer was no code cell any more; it was read as one.")
    source, dropped = _python(cells[place]["source"])
    if dropped:
        notes.append("Lines that begin with % or ! were left out: only Python is graded.")
    first = [] if any(_code(each["source"]) == _code(assignment.setup) for each in cells) else [assignment.setup]
    above, below = (
        [_python(each["source"])[0] for each in part if each["kind"] == "code"]
        for part in (cells[:place], cells[place + 1 :])
    )
    return Answer(task, source, before(source, [*first, *above], below), notes)


def _place(cells: list[dict], assignment: Assignment, task: Task) -> tuple[int | None, list[str]]:
    """Return where the answer to a task stands, and what is to be said of that."""
    places = [place for place, cell in enumerate(cells) if task.cell in cell["ids"]]
    full = [place for place in places if filled(cells[place]["source"], task)]
    if full:
        told = f"The cell of this answer was there {len(places)} times; the last one that was filled in counts."
        return full[-1], [told] if len(places) > 1 else []
    given = {cell["id"] for cell in assignment.cells}
    own = [place for place, cell in enumerate(cells) if cell["kind"] == "code" and not cell["ids"] & given]
    own = [place for place in own if defined(cells[place]["source"], task.name)]
    if places and not any(filled(cells[place]["source"], task) for place in own):
        return places[-1], []
    if not own:
        return None, ["The cell of this answer is missing."]
    told = "was empty, and" if places else "had lost its id;"
    return own[-1], [f"The cell of this answer {told} another that defines {task.name} counts."]


def _code(source: str) -> str:
    """Return what a cell says to Python, whatever its layout and its comments; a tree too deep to show as it stands."""
    try:
        return "\n".join(map(ast.dump, tree(_python(source)[0]))) or source.strip()
    except RecursionError:
        return source.strip()


def _python(source: str) -> tuple[str, bool]:
    """Return a cell without what only a notebook understands, and whether there was any of that."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if tree(source):
        return source, False
    lines = source.split("\n")
    kept = [_MAGIC.sub(r"\1pass", line) for line in lines]
    return "\n".join(kept), kept != lines
