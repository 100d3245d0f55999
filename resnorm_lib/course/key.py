"""The key of a course: what its notebooks ask for, and where in them the answers stand."""

import json
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["SETUP", "Assignment", "Task", "read_key", "write_key"]

SETUP = "setup"  # the id of the cell that is run first


class Task(NamedTuple):
    """One exercise of an assignment that a check marks."""

    label: str  # under which the check is registered
    name: str  # of the function or class that is the answer
    points: int
    cell: str  # the id of the answer's cell
    stub: str  # what that cell holds when it is handed out


class Assignment(NamedTuple):
    """One notebook that is handed out."""

    name: str
    title: str
    tasks: list[Task]
    cells: list[dict[str, Any]]  # all that were handed out, as they stand in the notebook

    @property
    def setup(self) -> str:
        """The source of the first cell in code, which gives an answer its names."""
        return next((cell["source"] for cell in self.cells if cell["id"] == SETUP), "")


def write_key(path: Path, assignments: list[Assignment]) -> None:
    """Write the key of a course as JSON."""
    content = [each._asdict() | {"tasks": [task._asdict() for task in each.tasks]} for each in assignments]
    path.write_text(json.dumps({"assignments": content}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_key(path: Path) -> dict[str, Assignment]:
    """Return the assignments of a key, by name.

    Raises
    ------
    ValueError
        If the file is no key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["assignments"]
        found = [Assignment(**{**each, "tasks": [Task(**task) for task in each["tasks"]]}) for each in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"key must be the key.json that `make course` writes, but {path} is none: {error}") from error
    return {each.name: each for each in found}
