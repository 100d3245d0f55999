"""A hand-in: the answers in a notebook that may have lost, doubled or broken its cells."""

import ast
import json
from pathlib import Path
from typing import Any, NamedTuple

from resnorm_lib.course.key import Assignment, Task

__all__ = ["Answer", "answers", "mended", "read_cells", "readable"]

_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)  # of what is no notebook
_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


class Answer(NamedTuple):
    """What a hand-in holds for one exercise."""

    task: Task
    source: str | None  # None: there is no answer
    own: list[str]  # definitions in cells that the student has added
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
    """Return the code cells of a notebook, each with its ids, whatever else is wrong with it.

    Raises
    ------
    ValueError
        If the file is no notebook.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [_cell(each) for each in cells if each.get("cell_type") == "code"]
    except _FAULTS as error:
        raise ValueError(f"path must be a notebook, but {path.name} is none: {type(error).__name__}.") from error


def _cell(cell: dict) -> dict[str, Any]:
    source = cell.get("source", "")
    metadata = cell.get("metadata") or {}
    grading = metadata.get("nbgrader") or {}
    return {
        "ids": {grading.get("grade_id"), cell.get("id")},
        "source": source if type(source) is str else "".join(source),
    }


def answers(cells: list[dict[str, Any]], assignment: Assignment) -> list[Answer]:
    """Return the answer to each task, found by the id of its cell; what was repaired is noted.

    Examples
    --------
    >>> task = Task("exercise-demo", "double", 1, "answer-demo", "def double(x): ...", "")
    >>> cell = {"ids": {"answer-demo"}, "source": "def double(x): return 2 * x"}
    >>> answers([cell, cell], Assignment("demo", "Demo", [task], ["answer-demo"]))[0].notes
    ['The cell of this answer was there 2 times; the last one that was filled in counts.']
    """
    return [_answer(cells, assignment, task) for task in assignment.tasks]


def mended(path: Path, assignment: Assignment) -> dict[str, Any]:
    """Return a notebook in which no id is there twice: one that is stops nbgrader's run, for all hand-ins.

    Of cells with the same id the one that counts keeps it, for answers in words the longest; the others become cells
    of the student's own.

    Raises
    ------
    ValueError
        If the file is no notebook.
    """
    stubs = {task.cell: task.stub for task in assignment.tasks}
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [(place, cell, _cell(cell)) for place, cell in enumerate(notebook["cells"])]
        for name in assignment.cells:
            same = [(place, cell, read["source"]) for place, cell, read in cells if name in read["ids"]]
            for place, cell, _ in sorted(same, key=lambda each: _filled(each[2], stubs.get(name)))[:-1]:
                cell["id"] = f"again-{place}"
                cell["metadata"] = {}
    except _FAULTS as error:
        raise ValueError(f"path must be a notebook, but {path.name} is none: {type(error).__name__}.") from error
    return notebook


def _filled(source: str, stub: str | None) -> int:
    """Return a number that is larger for the cell that counts."""
    return len(source) if stub is None else _code(source) != _code(stub)


def _answer(cells: list[dict], assignment: Assignment, task: Task) -> Answer:
    places = [place for place, cell in enumerate(cells) if task.cell in cell["ids"]]
    notes = []
    if len(places) > 1:
        notes.append(f"The cell of this answer was there {len(places)} times; the last one that was filled in counts.")
        places = [each for each in places if _code(cells[each]["source"]) != _code(task.stub)] or places
    if not places:
        places = [place for place, cell in enumerate(cells) if task.name in _defined(cell["source"])]
        if not places:
            return Answer(task, None, [], ["The cell of this answer is missing."])
        notes.append(f"The cell of this answer had lost its id; it was found by the name {task.name}.")
    source, dropped = _without_magics(cells[places[-1]]["source"])
    if dropped:
        notes.append("Lines that begin with % or ! were left out: only Python is graded.")
    own = [_definitions(cell["source"]) for cell in cells if not cell["ids"] & set(assignment.cells)]
    own = [each for each in own if each and task.name not in _defined(each)]
    return Answer(task, source, own, notes)


def _tree(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(_without_magics(source)[0]).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _code(source: str) -> str:
    """Return what a cell says to Python, whatever its layout and its comments; a tree too deep to show as it stands."""
    try:
        return "\n".join(map(ast.dump, _tree(source))) or source.strip()
    except RecursionError:
        return source.strip()


def _defined(source: str) -> set[str]:
    names = {node.name for node in _tree(source) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = [node.targets for node in _tree(source) if isinstance(node, ast.Assign)]
    return names | {target.id for targets in assigned for target in targets if isinstance(target, ast.Name)}


def _definitions(source: str) -> str:
    """Return the imports, functions and classes of a cell as they stand there, without what it does with them."""
    source = _without_magics(source)[0]
    return "\n".join(_segment(source, node) for node in _tree(source) if isinstance(node, _DEFINITIONS))


def _segment(source: str, node: ast.stmt) -> str:
    decorators = getattr(node, "decorator_list", [])
    above = source.split("\n")[decorators[0].lineno - 1 : node.lineno - 1] if decorators else []
    return "\n".join([*above, ast.get_source_segment(source, node) or ""])


def _without_magics(source: str) -> tuple[str, bool]:
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = ["pass" if line.startswith(("%", "!")) else line for line in lines]
    return "\n".join(kept), kept != lines
